/** Outcomes that the database refuses: they must neither block those of other jobs nor run their jobs again. */
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { Settlement } from '#modules/jobs';
import { setJobAside } from '#modules/jobs';
import type { Ended } from './settle-queue.ts';

/**
 * SQLSTATE classes of data that the database refuses: trying again would not help. A missing partition is 23514, too, without a constraint,
 * and passes.
 */
export function isRefusal(error: unknown): boolean {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown };
  return /^(?:2[123]|54)/.test(String(code ?? '')) && !(code === '23514' && constraint === undefined);
}

export interface RefusedOptions {
  plinth: Plinth<ModuleMap>;
  log: WorkServices['log'];
  durable: boolean;
  lockMs: number;
  store(entries: readonly Ended[]): Promise<void>;
}

/**
 * Stores outcomes of which the database refused one, in halves, until those that are to blame stand alone. What is stored leaves `left`, so
 * that the rest is known when it rejects, for another reason than a refusal.
 */
export async function storeApart(options: RefusedOptions, refused: readonly Ended[], refusal: unknown, left: Set<Ended>): Promise<void> {
  const [only, ...others] = refused;
  if (only && others.length === 0) {
    await storeInstead(options, only, refusal as Error);
    left.delete(only);
    return;
  }
  const middle = Math.ceil(refused.length / 2);
  for (const half of [refused.slice(0, middle), refused.slice(middle)]) {
    try {
      await options.store(half);
      for (const entry of half) left.delete(entry);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await storeApart(options, half, error, left);
    }
  }
}

/** The job fails for it; and when its failure is refused as well, it is set aside. The outcome is never tried again as it was. */
async function storeInstead({ plinth, log, durable, lockMs, store }: RefusedOptions, entry: Ended, refusal: Error): Promise<void> {
  const { id, run_id } = entry.settlement;
  log.error({ job_id: id, run_id, err: refusal }, 'worker: the outcome of a job cannot be stored');
  entry.settlement = failedInstead(entry.settlement, refusal);
  try {
    await store([entry]);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    log.error({ job_id: id, run_id, err: error }, 'worker: nor can its failure; the job is set aside');
    const accepted = await plinth.asWorker({ durable, lockMs }, (tx) => setJobAside(tx, entry.settlement));
    entry.stored(accepted ? 'cancelled' : undefined);
  }
}

const failedInstead = ({ tenant_id, id, run_id }: Settlement, refusal: Error): Settlement => ({
  tenant_id,
  id,
  run_id,
  outcome: 'failed',
  final: true,
  error: `The outcome could not be stored: ${refusal.message}`,
});
