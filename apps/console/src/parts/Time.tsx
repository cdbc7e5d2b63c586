import { type ReactNode, useSyncExternalStore } from 'react';
import { absolute, ago, zone } from '../format.ts';

/** One clock for all relative times on the page, so that they change together and cost one timer. */
const tickMs = 5_000;
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, tickMs);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
};

/** Milliseconds since 1970, renewed every 5 s. */
const useNow = (): number => useSyncExternalStore(subscribe, () => now);

/** How long ago, with the full time as title; or the full time itself. */
export function Time({ at, full = false }: { at: string; full?: boolean }): ReactNode {
  const current = useNow();
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  // A row can be younger than the last tick.
  const relative = ago(date, Math.max(current, Math.min(date.getTime(), current + tickMs)));
  const exact = absolute(date);
  return (
    <time dateTime={at} title={`${exact} ${zone()}`} className="whitespace-nowrap">
      {full ? (
        <>
          {exact} <span className="text-soft">({relative})</span>
        </>
      ) : (
        relative
      )}
    </time>
  );
}
