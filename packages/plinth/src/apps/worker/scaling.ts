/** How many jobs a process runs at a time, when that is not fixed: decided by numbers alone, so that it can be tested without a worker. */

export interface SlotLimits {
  min: number;
  max: number;
  /** Jobs should not wait longer than this for a slot, ms. */
  targetMs: number;
}

/** What was seen since the last look. */
export interface Load {
  /** Any clock that only goes forward, ms. */
  nowMs: number;
  /** Most jobs that ran at once. */
  peak: number;
  /** Longest wait of a job that was claimed or that still waits, here or in the database, or that is to be expected, ms. */
  waitMs: number;
  /** How late the event loop was, 99th percentile, ms. */
  loopDelayMs: number;
  /** Callers that wait for a database connection now. */
  poolWaiting: number;
}

export interface Scaling {
  slots: number;
  changedMs: number;
  /** Looks in a row at which the process was overloaded. */
  overloaded: number;
  /** No more slots before this. */
  heldUntilMs: number;
  /** Since when at most half of the slots were used, and the most that were. */
  quiet: { sinceMs: number; peak: number } | undefined;
}

export type Decision = 'grow' | 'overload' | 'idle' | undefined;

const GROW_EVERY_MS = 500;
/** Above the first nothing grows, above the second something is wrong: in between things stay as they are. */
const LOOP_DELAY_MS = { grow: 100, shrink: 250 };
const OVERLOADED_LOOKS = 3;
const OVERLOAD_EVERY_MS = 2_000;
/** After an overload it takes so long until the process dares to grow. */
const HOLD_MS = 10_000;
const QUIET_MS = 10_000;

export const initialScaling = ({ min }: SlotLimits, nowMs: number): Scaling => ({
  slots: min,
  changedMs: nowMs,
  overloaded: 0,
  heldUntilMs: nowMs,
  quiet: undefined,
});

/**
 * How long the last of `waiting` jobs will wait, ms, when `ended` were over within `elapsedMs` in which every slot was used (Little's law). The one that has
 * not ended yet counts as ended now, so that jobs of which none has ended tell something as well.
 */
export const expectedWaitMs = (waiting: number, ended: number, elapsedMs: number): number => (waiting * elapsedMs) / (ended + 1);

/**
 * Grows by half while every slot is used and jobs wait longer than the target or will, if the event loop and the pool have room; shrinks by a fifth
 * while the process is overloaded, and by a quarter after ten seconds in which half of the slots sufficed.
 */
export function scale(limits: SlotLimits, before: Scaling, load: Load): { scaling: Scaling; decision: Decision } {
  const { slots, changedMs } = before;
  const sinceMs = load.nowMs - changedMs;
  const overloaded = load.loopDelayMs > LOOP_DELAY_MS.shrink || load.poolWaiting > Math.max(1, slots / 4) ? before.overloaded + 1 : 0;
  const quiet = load.peak * 2 > slots ? undefined : { sinceMs: before.quiet?.sinceMs ?? load.nowMs, peak: Math.max(before.quiet?.peak ?? 0, load.peak) };
  const seen: Scaling = { ...before, overloaded, quiet };
  const to = (wanted: number, decision: Decision, heldUntilMs = before.heldUntilMs): { scaling: Scaling; decision: Decision } => {
    const next = Math.min(limits.max, Math.max(limits.min, wanted));
    if (next === slots) return { scaling: { ...seen, heldUntilMs }, decision: undefined };
    return { scaling: { slots: next, changedMs: load.nowMs, overloaded: 0, quiet: undefined, heldUntilMs }, decision };
  };

  if (overloaded >= OVERLOADED_LOOKS) {
    if (sinceMs < OVERLOAD_EVERY_MS) return { scaling: { ...seen, heldUntilMs: load.nowMs + HOLD_MS }, decision: undefined };
    return to(Math.floor(slots * 0.8), 'overload', load.nowMs + HOLD_MS);
  }
  const wanted = load.peak >= slots && load.waitMs > limits.targetMs;
  if (wanted && sinceMs >= GROW_EVERY_MS && load.nowMs >= before.heldUntilMs && load.loopDelayMs < LOOP_DELAY_MS.grow && load.poolWaiting === 0)
    return to(slots + Math.max(1, Math.ceil(slots / 2)), 'grow');
  if (quiet && load.nowMs - quiet.sinceMs >= QUIET_MS) return to(Math.max(quiet.peak, Math.floor(slots * 0.75)), 'idle');
  return { scaling: seen, decision: undefined };
}
