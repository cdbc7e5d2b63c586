/** The oracle: what was committed against what was handled. */
import type pg from 'pg';
import type { Run, Span } from './run.ts';

export interface TortureResult {
  committed: number;
  rolledBack: number;
  prepared: number;
  longTransactions: number;
  kills: number;
  /** Batches that were being handled when their connection died. */
  killedBatches: number;
  lost: number;
  duplicated: number;
  inverted: number;
  /** Events that were handled more than 1 s after their commit, not counting time in which the machine answered nobody. */
  stalled: number;
  /** Long transactions during which nothing was handled that committed after they had begun. */
  blockades: number;
  /** Longest time in which a query that waits for nothing had no answer. */
  worstSilenceMs: number;
  worstLagMs: number;
  medianLagMs: number;
  tookMs: number;
}

const STALL_MS = 1_000;
/** Transactions that began before a long one may still commit and be read by any cursor in this time. */
const SETTLED_MS = 300;

const silentWithin = (run: Run, from: number, to: number): number =>
  run.silences.reduce((sum, silence) => sum + Math.max(0, Math.min(to, silence.to) - Math.max(from, silence.from)), 0);

/** Events were committed while the transaction was open, and none of them was handled before it ended. The last one of a run may have had no company. */
function heldUp(open: Span, waits: readonly Span[]): boolean {
  const meanwhile = waits.filter(({ from }) => from > open.from + SETTLED_MS && from < open.to - SETTLED_MS);
  return meanwhile.length > 0 && !meanwhile.some(({ to }) => to < open.to);
}

interface Verdict {
  lost: number;
  duplicated: number;
  inverted: number;
}

const VERDICT = `select
  (select count(*)::int from plinth_events.events as e where not exists (select from torture.effects as f where f.event_id = e.id)) as lost,
  (select (count(*) - count(distinct event_id))::int from torture.effects) as duplicated,
  (select count(*)::int from (select version - lag(version) over (partition by stream order by seq) as step from torture.effects where stream is not null) as s where step < 1) as inverted`;

export async function judge(run: Run, admin: pg.Client, tookMs: number): Promise<TortureResult> {
  await admin.query('analyze torture.effects; analyze plinth_events.events');
  const { rows } = await admin.query<Verdict>(VERDICT);
  const { rows: effects } = await admin.query<{ event_id: string; at: number }>(
    'select event_id, extract(epoch from at)::float8 * 1000 as at from torture.effects',
  );
  const { rows: truth } = await admin.query<{ id: string }>('select id from plinth_events.events');
  const known = new Set(truth.map((row) => row.id));
  const vanished = [...run.committed.keys()].filter((id) => !known.has(id)).length;
  const waits = effects.map((effect) => ({ from: run.committed.get(effect.event_id) ?? effect.at, to: effect.at }));
  const lags = Float64Array.from(waits, ({ from, to }) => to - from).sort();
  return {
    committed: run.committed.size,
    rolledBack: run.rolledBack,
    prepared: run.prepared,
    longTransactions: run.longTransactions,
    kills: run.kills,
    killedBatches: run.killedBatches,
    lost: (rows[0]?.lost ?? -1) + vanished,
    duplicated: rows[0]?.duplicated ?? -1,
    inverted: rows[0]?.inverted ?? -1,
    stalled: waits.filter(({ from, to }) => to - from > STALL_MS && to - from - silentWithin(run, from, to) > STALL_MS).length,
    blockades: run.long.filter((open) => heldUp(open, waits)).length,
    worstSilenceMs: run.silences.reduce((worst, { from, to }) => Math.max(worst, to - from), 0),
    worstLagMs: Math.round(lags.at(-1) ?? 0),
    medianLagMs: Math.round(lags[Math.floor(lags.length / 2)] ?? 0),
    tookMs: Math.round(tookMs),
  };
}
