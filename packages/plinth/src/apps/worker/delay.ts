/** Longest wait that a handler may ask for. */
const MOST_MS = 366 * 86_400_000;

export const isDelay = (delayMs: unknown): delayMs is number => Number.isFinite(delayMs) && (delayMs as number) <= MOST_MS;

/** What `run.snooze` was given. Throws a RangeError: NaN, out of a header that was not a number, must not mean at once. */
export function snoozeMs(delayMs: number): number {
  if (!isDelay(delayMs)) throw new RangeError(`run.snooze takes a number of ms, of a year at most, not ${delayMs}`);
  return Math.max(0, delayMs);
}
