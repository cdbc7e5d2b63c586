/** A stream of jobs through a queue: as fast as it goes, or on a schedule. */
import type { Contestant, WorkerVariant } from '../peers/queue.ts';
import { payloadOf } from '../peers/queue.ts';
import { percentile } from './latency.ts';

const BATCH = 500;
const LONGEST_TAIL_MS = 30_000;

const bestOf = (contestant: Contestant): WorkerVariant => {
  const [worker] = contestant.workers;
  if (!worker) throw new Error(`${contestant.name} has no worker`);
  return worker;
};

/** Jobs a second until `jobs` have started, whichever they are, from the start of the worker. The queue holds more than that. */
export async function claimSome(contestant: Contestant, jobs: number): Promise<number> {
  let seen = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const started = performance.now();
  const running = await bestOf(contestant).start(() => {
    if (++seen === jobs) resolve(performance.now() - started);
  });
  const timer = setTimeout(() => resolve(performance.now() - started), 120_000);
  try {
    const tookMs = await promise;
    return (Math.min(seen, jobs) / tookMs) * 1000;
  } finally {
    clearTimeout(timer);
    await running.stop();
  }
}

export interface Churn {
  jobs: number;
  /** Producers stop for a moment while more than these wait. Default 20,000. */
  mostWaiting?: number;
  /** Called every `everyMs`, default 1,000. */
  onSample?(done: number): Promise<void>;
  everyMs?: number;
}

/** Produces and works at the same time, as fast as both go. Returns jobs a second. */
export async function churn(contestant: Contestant, options: Churn): Promise<number> {
  const { jobs, mostWaiting = 20_000, everyMs = 1_000 } = options;
  let enqueued = 0;
  let done = 0;
  let finished = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  const started = performance.now();
  const running = await bestOf(contestant).start(() => {
    if (++done === jobs) resolve();
  });
  const produce = async (): Promise<void> => {
    while (enqueued < jobs) {
      if (enqueued - done > mostWaiting) {
        await new Promise((go) => setTimeout(go, 5));
        continue;
      }
      const size = Math.min(BATCH, jobs - enqueued);
      enqueued += size;
      await contestant.enqueueMany(Array.from({ length: size }, (_, index) => payloadOf(enqueued + index)));
    }
  };
  const sample = async (): Promise<void> => {
    while (!finished && options.onSample) {
      await options.onSample(done);
      await new Promise((go) => setTimeout(go, everyMs));
    }
  };
  const sampling = sample();
  try {
    await Promise.all([produce(), produce()]);
    await promise;
    return (jobs / (performance.now() - started)) * 1000;
  } finally {
    finished = true;
    await sampling;
    await running.stop();
  }
}

export interface Paced {
  offeredPerSecond: number;
  /** Started within the time, a second. */
  startedPerSecond: number;
  /** From commit to start, ms; a job that never started counts until the end. */
  p50Ms: number;
  p99Ms: number;
}

/** Offers `perSecond` jobs a second in batches every 20 ms, whatever the queue does, for `durationMs`. */
export async function paced(contestant: Contestant, perSecond: number, durationMs: number): Promise<Paced> {
  const everyMs = 20;
  const size = Math.max(1, Math.round((perSecond * everyMs) / 1000));
  const batches = Math.ceil(durationMs / everyMs);
  const committed = new Float64Array(batches);
  const startedAt = new Float64Array(batches * size);
  let left = batches * size;
  const { promise, resolve } = Promise.withResolvers<void>();
  const running = await bestOf(contestant).start(({ n }) => {
    if (startedAt[n]) return;
    startedAt[n] = performance.now();
    if (--left === 0) resolve();
  });
  const begun = performance.now();
  const enqueues: Promise<void>[] = [];
  let end = 0;
  try {
    for (let batch = 0; batch < batches; batch++) {
      const waitMs = begun + batch * everyMs - performance.now();
      if (waitMs > 0) await new Promise((go) => setTimeout(go, waitMs));
      const payloads = Array.from({ length: size }, (_, index) => payloadOf(batch * size + index));
      enqueues.push(
        contestant.enqueueMany(payloads).then(() => {
          committed[batch] = performance.now();
        }),
      );
    }
    end = performance.now();
    await Promise.all(enqueues);
    const timer = setTimeout(resolve, LONGEST_TAIL_MS);
    await promise;
    clearTimeout(timer);
  } finally {
    await running.stop();
  }
  const now = performance.now();
  const waits = [...startedAt].map((at, n) => Math.max(0, (at || now) - (committed[Math.floor(n / size)] ?? 0)));
  const inTime = startedAt.reduce((count, at) => count + (at > 0 && at <= end ? 1 : 0), 0);
  const tookMs = end - begun;
  return {
    offeredPerSecond: (startedAt.length / tookMs) * 1000,
    startedPerSecond: (inTime / tookMs) * 1000,
    p50Ms: percentile(waits, 0.5),
    p99Ms: percentile(waits, 0.99),
  };
}
