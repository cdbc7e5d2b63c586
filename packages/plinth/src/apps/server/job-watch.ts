import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { JobSight, Watched } from '#modules/jobs';
import { JOB_WATCH_SIGNAL, readWatched } from '#modules/jobs';

/** Looks at jobs for everybody in this process who watches one: one query for all of them, however many there are. */
export interface JobWatch {
  /** Begins to look at a job; the caller has been found to be allowed to. `after`: id of the last line that is known. */
  join(tenantId: string, jobId: string, after: string | undefined): JobWatcher;
}

export interface JobWatcher {
  /** What there is to see, once there is something new or the job is over; undefined after `timeoutMs` without, with `looked` not before a look has found nothing. */
  next(timeoutMs: number, looked?: boolean): Promise<JobSight | undefined>;
  leave(): void;
}

/** A hint may be lost, and the end of a job that tells nothing about itself comes without one. */
const POLL_MS = 1_000;
/** However many hints there are, no more looks than this. */
const APART_MS = 100;
/** Most lines of a job in one look; the next look goes on. */
const MOST_LINES = 200;
/** Share of the time that looking may take, when it takes long. */
const LOAD = 0.2;

interface Watching extends Watched {
  state: string;
  /** Seen and not taken yet: until it is taken, the job is not looked at. */
  sight: JobSight | undefined;
  told: (() => void) | undefined;
  /** Looks that began and ended since the last sight was taken. */
  looks: number;
  left: boolean;
}

export function createJobWatch(plinth: Plinth<ModuleMap>, log: WorkServices['log']): JobWatch {
  const watching = new Set<Watching>();
  let looking = false;
  let nudge: AbortController | undefined;

  const look = async (): Promise<void> => {
    const open = [...watching].filter((one) => one.sight === undefined);
    const sights = open.length === 0 ? [] : await plinth.asWorker({ readOnly: true, timeoutMs: 10_000 }, (tx) => readWatched(tx, open, MOST_LINES));
    for (const [index, one] of open.entries()) take(one, sights[index]);
  };

  const run = async (): Promise<void> => {
    looking = true;
    while (watching.size > 0) {
      const startedMs = performance.now();
      // Before the look: whoever takes a full page of it asks for the next at once.
      nudge = new AbortController();
      await look().catch((error: unknown) => log.warn({ watchers: watching.size, err: error }, 'watched jobs could not be read'));
      const tookMs = performance.now() - startedMs;
      await new Promise((resolve) => setTimeout(resolve, Math.max(APART_MS, tookMs / LOAD)));
      await plinth.wake.next([JOB_WATCH_SIGNAL], POLL_MS, nudge.signal);
    }
    looking = false;
  };

  return {
    join(tenantId, jobId, after) {
      const one: Watching = { tenantId, jobId, after, state: '', sight: undefined, told: undefined, looks: 0, left: false };
      watching.add(one);
      if (looking) nudge?.abort();
      else void run();
      return {
        next: (timeoutMs, looked = false) => taken(one, { timeoutMs, looked }, () => nudge?.abort()),
        leave() {
          watching.delete(one);
          one.left = true;
          one.told?.();
        },
      };
    },
  };
}

/** What was seen becomes what the watcher is told, when it is news. */
function take(one: Watching, sight: JobSight | undefined): void {
  if (!sight) return;
  one.looks += 1;
  const state = JSON.stringify(sight.state ?? null);
  const { state: before } = one;
  one.state = state;
  if (sight.lines.length > 0 || state !== before || !sight.state) {
    one.after = sight.lines.at(-1)?.id ?? one.after;
    one.sight = sight;
  }
  one.told?.();
}

async function taken(one: Watching, { timeoutMs, looked }: { timeoutMs: number; looked: boolean }, more: () => void): Promise<JobSight | undefined> {
  const endsMs = performance.now() + timeoutMs;
  for (let leftMs = timeoutMs; !one.sight && !one.left && (leftMs > 0 || (looked && one.looks === 0)); leftMs = endsMs - performance.now())
    await told(one, leftMs > 0 ? leftMs : POLL_MS);
  const { sight } = one;
  one.sight = undefined;
  one.looks = 0;
  if (sight?.lines.length === MOST_LINES) more();
  return sight;
}

/** Resolves after the next look, or when time is up. */
function told(one: Watching, timeoutMs: number): Promise<void> {
  return new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    one.told = () => {
      clearTimeout(timer);
      resolve();
    };
  }).finally(() => {
    one.told = undefined;
  });
}
