/** How long after `kill -9` of a worker its job runs elsewhere, at the default settings of the worker. */
import { createPlinth } from '../../packages/plinth/src/index.ts';
import type { BenchContext } from '../harness.ts';
import { workerSlot } from './worker-process.ts';

const LONGEST_WAIT_MS = 120_000;

/** Milliseconds of each of `kills` kills, from the signal to the start of the second attempt. */
export async function killLatencies(context: Pick<BenchContext, 'serverUrl' | 'tenantId'>, kills: number): Promise<number[]> {
  const heard = new Map<string, (slot: string) => void>();
  const started = (n: number, attempt: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`attempt ${attempt} of job ${n} did not start in ${LONGEST_WAIT_MS} ms`)), LONGEST_WAIT_MS);
      heard.set(`started ${n} ${attempt}`, (slot) => {
        clearTimeout(timer);
        resolve(slot);
      });
    });
  const onLine = (line: string, slot: string): void => heard.get(line)?.(slot);
  const slots = ['kill-0', 'kill-1'].map((name) => workerSlot({ name, serverUrl: context.serverUrl, onLine }));
  const plinth = createPlinth({ database: { url: context.serverUrl, max: 2 } });
  const latencies: number[] = [];
  try {
    for (let n = 0; n < kills; n++) {
      const first = started(n, 1);
      const second = started(n, 2);
      await plinth.transaction({ tenantId: context.tenantId }, async (tx) => tx.jobs.enqueue('chaos.hang', { n }, { maxAttempts: 5 }));
      const name = await first;
      const slot = slots.find((candidate) => candidate.name === name);
      const at = performance.now();
      await slot?.kill();
      await second;
      latencies.push(performance.now() - at);
      slot?.start();
    }
  } finally {
    await Promise.all(slots.map((slot) => slot.kill()));
    await plinth.close();
  }
  return latencies;
}
