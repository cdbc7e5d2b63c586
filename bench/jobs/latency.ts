/** Pick-up latency: from the moment an enqueue has committed to the start of the job, on a queue that is otherwise idle. */
import type { PickUpVariant } from '../peers/queue.ts';
import { payloadOf } from '../peers/queue.ts';

const LONGEST_WAIT_MS = 30_000;

export const percentile = (values: readonly number[], part: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
};

/**
 * One job every `everyMs`, on a schedule that no slow answer delays. A job that starts before its enqueue has heard of the commit
 * counts as 0.
 */
export async function pickUpMs(variant: PickUpVariant, jobs: number, everyMs = 25): Promise<number[]> {
  const startedAt = new Float64Array(jobs);
  const committedAt = new Float64Array(jobs);
  let left = jobs;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const running = await variant.start(({ n }) => {
    if (startedAt[n]) return;
    startedAt[n] = performance.now();
    if (--left === 0) resolve();
  });
  const timer = setTimeout(() => reject(new Error(`${variant.name}: ${left} of ${jobs} jobs were not picked up`)), jobs * everyMs + LONGEST_WAIT_MS);
  try {
    const begun = performance.now();
    const enqueues: Promise<void>[] = [];
    for (let n = 0; n < jobs; n++) {
      const waitMs = begun + n * everyMs - performance.now();
      if (waitMs > 0) await new Promise((go) => setTimeout(go, waitMs));
      enqueues.push(
        variant.enqueue(payloadOf(n)).then(() => {
          committedAt[n] = performance.now();
        }),
      );
    }
    await Promise.all([...enqueues, promise]);
  } finally {
    clearTimeout(timer);
    await running.stop();
  }
  return [...startedAt].map((at, n) => Math.max(0, at - (committedAt[n] ?? 0)));
}
