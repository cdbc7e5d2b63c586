import type { ReactNode } from 'react';
import type { Story } from './story.ts';

/** Kinds of the story with their number; choosing one dims the rest, so that its place in time is kept. */
export function KindFilter({ story, kind, choose }: { story: Story; kind: string | undefined; choose: (kind: string | undefined) => void }): ReactNode {
  const failed = story.rows.filter((item) => item.failed).length;
  const choices: [string | undefined, string, number][] = [
    [undefined, 'All', story.rows.length],
    ...[...story.kinds].map(([name, count]): [string, string, number] => [name, name, count]),
  ];
  if (failed > 0) choices.push(['failed', 'failed only', failed]);
  return (
    <fieldset className="mb-3 flex flex-wrap gap-1.5">
      <legend className="sr-only">Show</legend>
      {choices.map(([value, label, count]) => (
        <button
          key={label}
          type="button"
          aria-pressed={kind === value}
          className="btn min-h-7 px-2 aria-pressed:border-accent aria-pressed:bg-accent-soft aria-pressed:text-accent"
          onClick={() => choose(kind === value ? undefined : value)}
        >
          {label} <span className="font-normal text-soft">{count}</span>
        </button>
      ))}
    </fieldset>
  );
}

/** Whether a row is among what was asked for. */
export const isAsked = (kind: string | undefined, row: { kind: string; failed: boolean }): boolean =>
  kind === undefined || (kind === 'failed' ? row.failed : row.kind === kind);
