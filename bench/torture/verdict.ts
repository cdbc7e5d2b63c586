/** The oracle: what was committed against what was handled. */
import type pg from 'pg';
import type { LongTransaction, Run, Span } from './run.ts';

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
  /** Long transactions during which nothing was handled that is younger than they are. */
  blockades: number;
  /** Longest time in which a query that waits for nothing had no answer. */
  worstSilenceMs: number;
  worstLagMs: number;
  medianLagMs: number;
  tookMs: number;
}

const STALL_MS = 1_000;
/** What commits later than this before the end of a long transaction may be handled after it by any reader. */
const READ_MS = 300;

const silentWithin = (run: Run, from: number, to: number): number =>
  run.silences.reduce((sum, silence) => sum + Math.max(0, Math.min(to, silence.to) - Math.max(from, silence.from)), 0);

/** A wait of an event of this transaction. */
interface Wait extends Span {
  xact: bigint;
}

/**
 * Events of younger transactions were committed while this one was open, and none of them was handled before it ended. By transaction ids and not
 * by time: an older transaction may commit at any time, and every cursor reads it. The last long one of a run may have had no company.
 */
function heldUp(run: Run, open: LongTransaction, waits: readonly Wait[]): boolean {
  const younger = waits.filter(({ xact, from }) => xact > open.xact && open.to - from - silentWithin(run, from, open.to) > READ_MS);
  return younger.length > 0 && !younger.some(({ to }) => to < open.to);
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
  const { rows: truth } = await admin.query<{ id: string; xact: string }>('select id, xact::text as xact from plinth_events.events');
  const known = new Map(truth.map(({ id, xact }) => [id, BigInt(xact)]));
  const vanished = [...run.committed.keys()].filter((id) => !known.has(id)).length;
  const waits = effects.map((effect) => ({
    from: run.committed.get(effect.event_id) ?? effect.at,
    to: effect.at,
    xact: known.get(effect.event_id) ?? 0n,
  }));
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
    blockades: run.long.filter((open) => heldUp(run, open, waits)).length,
    worstSilenceMs: run.silences.reduce((worst, { from, to }) => Math.max(worst, to - from), 0),
    worstLagMs: Math.round(lags.at(-1) ?? 0),
    medianLagMs: Math.round(lags[Math.floor(lags.length / 2)] ?? 0),
    tookMs: Math.round(tookMs),
  };
}
