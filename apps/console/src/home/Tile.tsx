import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { isAway } from '../api/problem.ts';
import type { ListMeta, Page, Row } from '../api/types.ts';
import { moduleBeside } from '../format.ts';
import { Time } from '../parts/Time.tsx';
import { isStatusColumn, type Tone, toneOf } from '../status.ts';

const toneText: Record<Tone, string> = {
  ok: 'text-ok',
  bad: 'text-bad font-semibold',
  warn: 'text-warn font-semibold',
  run: 'text-run',
  wait: 'text-soft',
  plain: 'text-soft',
};
const toneOrder: readonly Tone[] = ['bad', 'warn', 'run', 'wait', 'ok', 'plain'];

/** How many of the newest rows are in which state, worst first. */
const statesOf = (meta: ListMeta, rows: readonly Row[]): [string, number][] => {
  const column = meta.columns.find(({ name }) => /(^|_)(status|state)$/.test(name)) ?? meta.columns.find(({ name }) => isStatusColumn(name));
  if (!column) return [];
  const counts = new Map<string, number>();
  for (const row of rows) {
    const state = row[column.name];
    if (typeof state === 'string') counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => toneOrder.indexOf(toneOf(a)) - toneOrder.indexOf(toneOf(b)));
};

const newestAt = (rows: readonly Row[]): string | undefined => {
  const at = rows[0]?.created_at;
  return typeof at === 'string' ? at : undefined;
};

function Count({ page, error }: { page: Page | undefined; error: Error | null | undefined }): ReactNode {
  if (page?.count) return `${page.count.rows.toLocaleString('en')}${page.count.capped ? '+' : ''}`;
  return error ? '?' : '–';
}

/** How much a list holds, as far as the API counts, and the state of its newest rows. */
export function Tile({ meta, page, error }: { meta: ListMeta; page: Page | undefined; error: Error | null | undefined }): ReactNode {
  const beside = moduleBeside(meta);
  const states = page ? statesOf(meta, page.rows) : [];
  const at = page ? newestAt(page.rows) : undefined;
  return (
    <article className="card relative flex min-h-22 flex-col px-4 py-2.5 hover:border-line-strong">
      <h3 className="flex items-baseline justify-between gap-2">
        <Link
          to="/lists/$module/$list"
          params={{ module: meta.module, list: meta.list }}
          className="font-medium after:absolute after:inset-0 hover:text-accent"
        >
          {meta.title}
        </Link>
        {beside ? <span className="truncate text-xs font-normal text-soft">{beside}</span> : null}
      </h3>
      <p className="text-xl leading-7 font-semibold">
        <Count page={page} error={error} />
      </p>
      <p className="mt-auto flex flex-wrap gap-x-2.5 text-xs text-soft">
        {states.length > 0 && page?.next_cursor ? <span>latest {page.rows.length}:</span> : null}
        {states.map(([state, count]) => (
          <span key={state} className={toneText[toneOf(state)]}>
            {count} {state.replaceAll('_', ' ')}
          </span>
        ))}
        {states.length === 0 && at ? (
          <span>
            newest <Time at={at} />
          </span>
        ) : null}
        {error && !(page && isAway(error)) ? <span className="text-bad">{error.message}</span> : null}
      </p>
    </article>
  );
}
