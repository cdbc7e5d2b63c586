import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import { queueLoad } from '#modules/jobs';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { LoopDelay, WorkerMetrics, WorkerStats } from './metrics.ts';
import type { Load, SlotLimits } from './scaling.ts';
import { expectedWaitMs, initialScaling, scale } from './scaling.ts';

/** `concurrency` of startWorker when it is no number. */
export interface Concurrency {
  min: number;
  max: number;
  /** Jobs should not wait longer than this for a slot, ms; that they have or will makes it grow. Default 500. */
  targetMs?: number;
}

export interface ScalerOptions {
  plinth: Plinth<ModuleMap>;
  log: WorkServices['log'];
  limits: SlotLimits;
  queues?: readonly string[] | undefined;
  stats: WorkerStats;
  metrics: WorkerMetrics;
  loopDelay: LoopDelay;
  /** What was seen since it was asked last. */
  load: () => Pick<Load, 'peak' | 'waitMs'>;
  /** There are more or fewer slots now. */
  resized: () => void;
}

const LOOK_MS = 250;
/** While every slot is used and the target is met, the database is asked how much waits and for how long, this often. */
const ASK_MS = 1_000;
/** Over so long it is measured at most how fast jobs end. */
const RATE_MS = 10_000;

/** The limits of a `concurrency`; equal ones when it is fixed. Errors: RangeError. */
export function slotLimits(concurrency: number | Concurrency): SlotLimits {
  const { min, max, targetMs = 500 } = typeof concurrency === 'number' ? { min: concurrency, max: concurrency } : concurrency;
  const whole = (n: number): boolean => Number.isInteger(n) && n >= 1 && n <= 10_000;
  if (!(whole(min) && whole(max) && min <= max))
    throw new RangeError(`concurrency is a whole number from 1 to 10000, or { min, max } of such with min <= max, not ${JSON.stringify(concurrency)}`);
  if (!(targetMs > 0)) throw new RangeError(`concurrency.targetMs is more than 0, not ${targetMs}`);
  return { min, max, targetMs };
}

/** Looks four times a second and moves `stats.slots`. */
export function startScaler(options: ScalerOptions): Loop {
  const { plinth, limits, stats } = options;
  let scaling = initialScaling(limits, performance.now());
  let askedMs = 0;
  let askedWaitMs = 0;

  const ended = (): number => stats.claimed - stats.waiting - stats.running;
  let since = { ms: performance.now(), ended: 0 };
  const measureAnew = (): void => {
    since = { ms: performance.now(), ended: ended() };
  };

  const waitOf = async (load: Pick<Load, 'peak' | 'waitMs'>): Promise<number> => {
    if (load.peak < stats.slots) measureAnew();
    if (load.peak < stats.slots || stats.slots >= limits.max || load.waitMs > limits.targetMs) return load.waitMs;
    if (performance.now() - askedMs >= ASK_MS) {
      askedMs = performance.now();
      const { oldestWaitMs, waiting, workers } = await plinth.asWorker({ readOnly: true, timeoutMs: ASK_MS }, (tx) => queueLoad(tx, options.queues));
      const elapsedMs = performance.now() - since.ms;
      askedWaitMs = Math.max(oldestWaitMs, expectedWaitMs(stats.waiting + waiting / Math.max(1, workers), ended() - since.ended, elapsedMs));
      if (elapsedMs > RATE_MS && ended() > since.ended) measureAnew();
    }
    return Math.max(load.waitMs, askedWaitMs);
  };

  return startLoop({
    name: 'scale',
    log: options.log,
    wake: plinth.wake,
    async turn() {
      const seen = options.load();
      const poolWaiting = plinth.pool.waitingCount;
      const load: Load = { ...seen, waitMs: await waitOf(seen), nowMs: performance.now(), loopDelayMs: options.loopDelay.nowMs(), poolWaiting };
      const next = scale(limits, scaling, load);
      scaling = next.scaling;
      if (next.decision) {
        askedWaitMs = 0;
        measureAnew();
        options.log.info({ slots: scaling.slots, before: stats.slots, because: next.decision, wait_ms: Math.round(load.waitMs) }, 'worker: slots changed');
        options.metrics.scaled.add(1, { because: next.decision });
        stats.slots = scaling.slots;
        options.resized();
      }
      return LOOK_MS;
    },
  });
}
