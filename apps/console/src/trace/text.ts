import { duration } from '../format.ts';
import { exchangeOf } from './exchange.ts';
import { timing } from './spans.ts';
import type { Story, StoryRow } from './story.ts';

/** `waited 38 ms, ran 61 ms`, as far as it is known. */
export function timingText({ spans }: StoryRow): string {
  const { waitMs, runMs } = timing(spans);
  const parts: string[] = [];
  if (waitMs > 0) parts.push(`waited ${duration(waitMs)}`);
  if (runMs > 0) parts.push(`ran ${duration(runMs)}`);
  return parts.join(', ');
}

/** Why a record failed, in one line. */
const errorText = ({ row }: StoryRow): string | undefined => {
  const { error, response } = exchangeOf(row.data ?? {});
  const said = error === undefined ? response?.line : typeof error === 'string' ? error : JSON.stringify(error);
  return said?.replaceAll(/\s+/g, ' ').slice(0, 200);
};

const line = (item: StoryRow, start: number, gutter: string, kindWidth: number): string => {
  const { row } = item;
  const notes = [
    row.entity,
    row.status,
    row.attempt !== null && row.attempt > 1 ? `try ${row.attempt}` : undefined,
    timingText(item),
    item.failed ? errorText(item) : undefined,
  ].filter(Boolean);
  return `${`+${duration(item.from - start)}`.padStart(10)}  ${'  '.repeat(item.depth)}${gutter} ${row.kind.padEnd(kindWidth)} ${row.title}${notes.length > 0 ? `  (${notes.join('; ')})` : ''}`;
};

/** The story as plain text, for a ticket or a chat. */
export function storyText(correlationId: string, story: Story, capped = false): string {
  const lines = [`Trace ${correlationId}`, `${new Date(story.from).toISOString()}, ${duration(story.to - story.from)} in all`, ''];
  const kindWidth = Math.max(...[...story.kinds.keys()].map((kind) => kind.length));
  for (const band of story.bands) {
    const together = band.rows.length > 1;
    if (together)
      lines.push(
        `${' '.repeat(12)}${'  '.repeat(band.depth)}one transaction${band.xact ? ` (${band.xact})` : ''}: ${band.rows.length} records committed together`,
      );
    for (const row of band.rows) lines.push(line(row, story.from, together ? '|' : '-', kindWidth));
  }
  if (capped) lines.push('', 'Only the oldest records are told; the story may go on.');
  return `${lines.join('\n')}\n`;
}
