/** Rates: claim and complete, single and bulk enqueue. */
import { throughput } from '../harness.ts';
import type { Contestant, WorkerVariant } from '../peers/queue.ts';
import { payloadOf } from '../peers/queue.ts';

const LONGEST_RUN_MS = 180_000;
const PRELOAD = 2_000;

export type Variants = Record<string, () => Promise<number>>;

export async function preload(contestant: Contestant, jobs: number, sizeBytes = 200): Promise<void> {
  for (let n = 0; n < jobs; n += PRELOAD) {
    await contestant.enqueueMany(Array.from({ length: Math.min(PRELOAD, jobs - n) }, (_, index) => payloadOf(n + index, sizeBytes)));
  }
}

/**
 * Jobs a second from the start of the worker to the start of the last job. Also says whether any job ran twice, which no crash
 * here explains.
 */
export async function drain(worker: WorkerVariant, jobs: number): Promise<number> {
  const seen = new Uint8Array(jobs);
  let left = jobs;
  let twice = 0;
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const timer = setTimeout(() => reject(new Error(`${worker.name}: ${left} of ${jobs} jobs had not run after ${LONGEST_RUN_MS} ms`)), LONGEST_RUN_MS);
  const started = performance.now();
  const running = await worker.start(({ n }) => {
    if (seen[n]) twice++;
    else {
      seen[n] = 1;
      if (--left === 0) resolve(performance.now() - started);
    }
  });
  try {
    const tookMs = await promise;
    if (twice > 0) throw new Error(`${worker.name}: ${twice} of ${jobs} jobs ran twice`);
    return (jobs / tookMs) * 1000;
  } finally {
    clearTimeout(timer);
    await running.stop();
  }
}

export const claimRates = (contestants: readonly Contestant[], jobs: number): Variants =>
  Object.fromEntries(
    contestants.flatMap((contestant) =>
      contestant.workers.map((worker) => [
        worker.name,
        async (): Promise<number> => {
          const count = Math.max(3, Math.round(jobs * (worker.share ?? 1)));
          await preload(contestant, count);
          // As autovacuum would in a minute; a plan made for an empty table would be measured otherwise.
          await contestant.admin?.query('analyze');
          return drain(worker, count);
        },
      ]),
    ),
  );

export const enqueueRates = (contestants: readonly Contestant[], callers: number, durationMs: number): Variants =>
  Object.fromEntries(
    contestants.map((contestant) => [`${contestant.name}, enqueue`, () => throughput(callers, durationMs, () => contestant.enqueue(payloadOf(0)))]),
  );

export const bulkRates = (contestants: readonly Contestant[], jobs: number, calls: number): Variants =>
  Object.fromEntries(
    contestants.map((contestant) => [
      `${contestant.name}, bulk`,
      async (): Promise<number> => {
        const payloads = Array.from({ length: jobs }, (_, n) => payloadOf(n));
        const started = performance.now();
        for (let call = 0; call < calls; call++) await contestant.enqueueMany(payloads);
        return ((jobs * calls) / (performance.now() - started)) * 1000;
      },
    ]),
  );
