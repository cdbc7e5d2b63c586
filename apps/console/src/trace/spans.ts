/** When a row waited and when it ran. Read from times that any module may keep in `data`, under the same names everywhere. */
import type { TraceRow } from '../api/types.ts';
import { isUnfinished, toneOf } from '../status.ts';

export interface Span {
  kind: 'wait' | 'run';
  from: number;
  to: number;
  bad: boolean;
}

/** One try of a row that was tried more than once. */
export interface Attempt {
  /** Id of its row, when it is one. */
  id: string | undefined;
  number: number;
  startedAt: number | undefined;
  endedAt: number | undefined;
  status: string | undefined;
  error: string | undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

const timeIn = (from: Record<string, unknown>, ...names: readonly string[]): number | undefined => {
  for (const name of names) {
    const value = from[name];
    const time = typeof value === 'string' ? Date.parse(value) : Number.NaN;
    if (!Number.isNaN(time)) return time;
  }
  return undefined;
};

const textIn = (from: Record<string, unknown>, ...names: readonly string[]): string | undefined => {
  for (const name of names) {
    const value = from[name];
    if (typeof value === 'string' && value !== '') return value;
    if (isRecord(value) && typeof value.message === 'string') return value.message;
  }
  return undefined;
};

const triesInData = (row: TraceRow): Attempt[] => {
  const list = row.data?.attempts ?? row.data?.runs;
  if (!Array.isArray(list)) return [];
  return list.filter(isRecord).map((raw, index) => ({
    id: undefined,
    number: typeof raw.attempt === 'number' ? raw.attempt : index + 1,
    startedAt: timeIn(raw, 'started_at', 'at', 'created_at'),
    endedAt: timeIn(raw, 'ended_at', 'finished_at', 'completed_at'),
    status: textIn(raw, 'status', 'outcome'),
    error: textIn(raw, 'error', 'last_error'),
  }));
};

/** The tries of a row, in order: rows of its module that it caused and that count as attempts, or else a list in `data.attempts`. */
export function attemptsOf(row: TraceRow, caused: readonly TraceRow[]): Attempt[] {
  // Of another kind: a job that this one enqueued counts attempts of its own.
  const tries = caused.filter((other) => other.module === row.module && other.kind !== row.kind && other.attempt !== null);
  if (tries.length === 0) return triesInData(row);
  return tries.map((other) => ({
    id: other.id,
    number: other.attempt ?? 0,
    startedAt: Date.parse(other.at),
    endedAt: other.ended_at ? Date.parse(other.ended_at) : undefined,
    status: other.status ?? undefined,
    error: textIn(other.data ?? {}, 'error', 'error_message', 'last_error'),
  }));
}

const isBad = (status: string | null | undefined): boolean => toneOf(status ?? '') === 'bad';

const attemptSpans = (row: TraceRow, attempts: readonly Attempt[], end: number | undefined, now: number): Span[] => {
  const spans: Span[] = [];
  let last = Date.parse(row.at);
  for (const { startedAt, endedAt, status, error } of attempts) {
    if (startedAt === undefined) continue;
    if (startedAt > last) spans.push({ kind: 'wait', from: last, to: startedAt, bad: false });
    last = endedAt ?? end ?? now;
    spans.push({ kind: 'run', from: startedAt, to: last, bad: isBad(status) || (status === undefined && error !== undefined) });
  }
  // Between the last try and the next one that was promised.
  if (end === undefined && isUnfinished(row.status) && attempts.at(-1)?.endedAt !== undefined)
    spans.push({ kind: 'wait', from: last, to: Math.max(last, now), bad: false });
  return spans;
};

/** Waiting and running, oldest first. Empty for a row that is an instant. */
export function spansOf(row: TraceRow, attempts: readonly Attempt[], now: number): Span[] {
  const at = Date.parse(row.at);
  const data = row.data ?? {};
  const end = row.ended_at ? Date.parse(row.ended_at) : undefined;
  if (attempts.some((attempt) => attempt.startedAt !== undefined)) return attemptSpans(row, attempts, end, now);
  const started = timeIn(data, 'started_at', 'attempted_at', 'claimed_at');
  const open = end === undefined && isUnfinished(row.status);
  if (started !== undefined && started >= at) {
    const to = end ?? (open ? now : started);
    return [
      { kind: 'wait', from: at, to: started, bad: false },
      { kind: 'run', from: started, to: Math.max(to, started), bad: isBad(row.status) },
    ];
  }
  if (end !== undefined && end > at) return [{ kind: 'run', from: at, to: end, bad: isBad(row.status) }];
  if (open) return [{ kind: toneOf(row.status ?? '') === 'run' ? 'run' : 'wait', from: at, to: Math.max(now, at), bad: false }];
  return [];
}

const total = (spans: readonly Span[], kind: Span['kind']): number => spans.reduce((sum, span) => (span.kind === kind ? sum + span.to - span.from : sum), 0);

/** Milliseconds of waiting and running. */
export const timing = (spans: readonly Span[]): { waitMs: number; runMs: number } => ({ waitMs: total(spans, 'wait'), runMs: total(spans, 'run') });
