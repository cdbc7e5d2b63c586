/**
 * The story of one correlation id as people read it: rows that committed together stand in one band, and what each row caused
 * follows below it. Pure: from the rows of the API to plain data, so that the page and the copied text agree.
 */
import type { TraceRow } from '../api/types.ts';
import { isLook } from '../row-name.ts';
import { isUnfinished, toneOf } from '../status.ts';
import { type Attempt, attemptsOf, type Span, spansOf } from './spans.ts';

export interface StoryRow {
  row: TraceRow;
  /** How many causes stand above it. */
  depth: number;
  /** The row that caused it, when that is part of the story. */
  cause: TraceRow | undefined;
  spans: readonly Span[];
  attempts: readonly Attempt[];
  failed: boolean;
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

/** Rows with one transaction id and one cause outside of it. */
export interface Band {
  key: string;
  xact: string | null;
  depth: number;
  /** The row outside of the band that led to it. */
  cause: TraceRow | undefined;
  rows: readonly StoryRow[];
}

export interface Story {
  /** What its first record is called that is more than the look of an operator. */
  title: string;
  bands: readonly Band[];
  /** Every row in the order of the page. */
  rows: readonly StoryRow[];
  from: number;
  to: number;
  unfinished: boolean;
  /** How many rows a kind has, in order of appearance. */
  kinds: ReadonlyMap<string, number>;
}

const byTime = (a: TraceRow, b: TraceRow): number => Date.parse(a.at) - Date.parse(b.at) || (a.id < b.id ? -1 : 1);

/** The chain of causes ends where a row causes itself, however long the way round. */
const causesOf = (rows: readonly TraceRow[]): Map<TraceRow, TraceRow> => {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const causes = new Map<TraceRow, TraceRow>();
  const causing = new Set<TraceRow>();
  for (const row of rows) {
    const cause = row.parent_id ? byId.get(row.parent_id) : undefined;
    if (!cause || cause === row) continue;
    // Only what caused something already can be above its own cause.
    let above = causing.has(row) ? cause : undefined;
    while (above && above !== row) above = causes.get(above);
    if (above) continue;
    causes.set(row, cause);
    causing.add(cause);
  }
  return causes;
};

interface Draft {
  xact: string | null;
  cause: TraceRow | undefined;
  rows: TraceRow[];
}

/** What each row caused, in order of time. */
const causedBy = (rows: readonly TraceRow[], causes: ReadonlyMap<TraceRow, TraceRow>): ReadonlyMap<TraceRow | undefined, TraceRow[]> =>
  Map.groupBy(rows, (row) => causes.get(row));

/** Walks up inside one transaction to the first cause that lies outside of it. */
const outerCause = (row: TraceRow, causes: ReadonlyMap<TraceRow, TraceRow>): TraceRow | undefined => {
  let cause = causes.get(row);
  while (cause && row.xact !== null && cause.xact === row.xact) cause = causes.get(cause);
  return cause;
};

const draftBands = (rows: readonly TraceRow[], causes: ReadonlyMap<TraceRow, TraceRow>): Draft[] => {
  const drafts = new Map<string, Draft>();
  for (const row of rows) {
    const cause = outerCause(row, causes);
    // Rows that say nothing of their transaction stand alone.
    const key = row.xact === null ? `row ${row.kind} ${row.id}` : `${row.xact} ${cause?.id ?? ''}`;
    const draft = drafts.get(key);
    if (draft) draft.rows.push(row);
    else drafts.set(key, { xact: row.xact, cause, rows: [row] });
  }
  return [...drafts.values()];
};

/** Causes before what they caused inside a band, otherwise by time. */
const inBandOrder = (rows: readonly TraceRow[], causes: ReadonlyMap<TraceRow, TraceRow>): { row: TraceRow; inner: number }[] => {
  const inside = new Set(rows);
  const caused = causedBy(rows, causes);
  const ordered: { row: TraceRow; inner: number }[] = [];
  // A stack of its own: a chain of causes may be as long as the story.
  const roots = rows.filter((row) => {
    const cause = causes.get(row);
    return !cause || !inside.has(cause);
  });
  const waiting = roots.map((row) => ({ row, inner: 0 })).reverse();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    ordered.push(next);
    const inner = next.inner + 1;
    for (const row of (caused.get(next.row) ?? []).toReversed()) waiting.push({ row, inner });
  }
  return ordered;
};

const isOpen = (row: TraceRow): boolean => row.ended_at === null && isUnfinished(row.status);

/** True while something of it will still change by itself. */
export const goesOn = (rows: readonly TraceRow[]): boolean => rows.some(isOpen);

/** Builds the story, in time that grows with the number of its rows: a batch has ten thousand. `now` (milliseconds) ends what is still running. */
export function tell(traceRows: readonly TraceRow[], now: number): Story {
  const sorted = [...traceRows].sort(byTime);
  const causes = causesOf(sorted);
  const caused = causedBy(sorted, causes);
  const drafts = draftBands(sorted, causes);
  const following = Map.groupBy(drafts, ({ cause }) => cause);
  const bands: Band[] = [];
  const rows: StoryRow[] = [];
  const waiting = (following.get(undefined) ?? []).map((draft) => ({ draft, depth: 0 })).reverse();
  const place = (draft: Draft, depth: number): void => {
    const placed = inBandOrder(draft.rows, causes).map(({ row, inner }): StoryRow => {
      const attempts = attemptsOf(row, caused.get(row) ?? []);
      const spans = spansOf(row, attempts, now);
      const from = Date.parse(row.at);
      return {
        row,
        depth: depth + inner,
        cause: causes.get(row),
        spans,
        attempts,
        failed: toneOf(row.status ?? '') === 'bad',
        from,
        to: Math.max(from, ...spans.map((span) => span.to)),
      };
    });
    rows.push(...placed);
    bands.push({ key: `${draft.xact ?? 'alone'} ${draft.rows[0]?.id}`, xact: draft.xact, depth, cause: draft.cause, rows: placed });
    const after = placed.flatMap(({ row, depth: own }) => (following.get(row) ?? []).map((next) => ({ draft: next, depth: own + 1 })));
    waiting.push(...after.reverse());
  };
  for (let next = waiting.pop(); next; next = waiting.pop()) place(next.draft, next.depth);
  const kinds = new Map<string, number>();
  for (const { row } of rows) kinds.set(row.kind, (kinds.get(row.kind) ?? 0) + 1);
  const first = rows.find(({ row }) => !isLook(row.title)) ?? rows[0];
  return {
    title: first?.row.title ?? 'Trace',
    bands,
    rows,
    kinds,
    from: Math.min(...rows.map((row) => row.from)),
    to: Math.max(...rows.map((row) => row.to)),
    unfinished: goesOn(traceRows),
  };
}
