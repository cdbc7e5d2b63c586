/** Batches: jobs that end together, and what is enqueued then. Flows: jobs that wait for others. */
import type { EffectSink, JsonObject } from '#kernel/effects.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { EnqueueOptions } from './options.ts';
import { checkBatchName, checkJob } from './options.ts';

/** A job that a batch enqueues when it finishes; its payload gets `batch: { id, name, total, completed, failed, cancelled }` besides. */
export interface BatchCallback {
  kind: string;
  payload?: JsonObject | undefined;
  name?: string | undefined;
  queue?: string | undefined;
  priority?: number | undefined;
  maxAttempts?: number | undefined;
}

export interface BatchOptions {
  /** For people. At most 500 characters. */
  name?: string | undefined;
  /** When all jobs have ended, however. */
  onComplete?: BatchCallback | undefined;
  /** When all jobs have completed. */
  onSuccess?: BatchCallback | undefined;
  /** When all jobs have ended and one of them failed for good or was cancelled. */
  onFailure?: BatchCallback | undefined;
  /** True: it does not finish before `closeBatch`, so that anybody can add to it. Default: its own jobs add to it while they run. */
  open?: boolean | undefined;
}

/** Adds a job to the batch and returns its id; `many` adds jobs of one kind. */
export interface BatchAdd {
  (kind: string, payload?: JsonObject, options?: EnqueueOptions): string;
  many(kind: string, payloads: readonly JsonObject[], options?: Omit<EnqueueOptions, 'uniqueKey'>): string[];
}

interface Enqueuer {
  enqueue(kind: string, payload?: JsonObject, options?: EnqueueOptions): string;
  enqueueMany(kind: string, payloads: readonly JsonObject[], options?: Omit<EnqueueOptions, 'uniqueKey'>): string[];
}

function callbackRow(callback: BatchCallback | undefined): Record<string, unknown> | undefined {
  if (!callback) return undefined;
  const { kind, payload = {}, maxAttempts, ...rest } = callback;
  checkJob(kind, payload, { ...rest, maxAttempts }, ' (a callback of a batch)');
  return { ...rest, kind, payload, max_attempts: maxAttempts };
}

export const batchEffects = (sink: EffectSink, jobs: Enqueuer) => ({
  /**
   * Makes a batch of the jobs that `add` is called for, and returns its id. When the last of them has ended, its callbacks are enqueued by
   * the transaction that ends it, once. A job of the batch may add more while it runs: `tx.jobs.enqueue(kind, payload, { batchId })`.
   * Without jobs it finishes at once. Errors: jobs_job_invalid, jobs_payload_too_large.
   *
   * @example
   * tx.jobs.batch({ name: 'Import 7', onComplete: { kind: 'import.report' } }, (add) => { for (const part of parts) add('import.part', { part }); });
   */
  batch(options: BatchOptions, fill: (add: BatchAdd) => void = () => {}): string {
    checkBatchName(options.name);
    const batchId = sink.newId();
    const add: BatchAdd = Object.assign(
      (kind: string, payload: JsonObject = {}, more: EnqueueOptions = {}) => jobs.enqueue(kind, payload, { ...more, batchId }),
      {
        many: (kind: string, payloads: readonly JsonObject[], more: Omit<EnqueueOptions, 'uniqueKey'> = {}) =>
          jobs.enqueueMany(kind, payloads, { ...more, batchId }),
      },
    );
    const batch = {
      name: options.name,
      open: options.open,
      on_complete: callbackRow(options.onComplete),
      on_success: callbackRow(options.onSuccess),
      on_failure: callbackRow(options.onFailure),
    };
    fill(add);
    sink.push(`jobs.batch(${JSON.stringify(options.name ?? batchId)})`, { id: batchId, more: { batch } });
    return batchId;
  },

  /** Closes a batch that was made with `open: true`: it finishes when its jobs have ended. Closing it twice does nothing. Error: jobs_batch_not_found. */
  closeBatch(batchId: string): void {
    sink.push(`jobs.closeBatch(${JSON.stringify(batchId)})`, { more: { close_batch: batchId } });
  },
});

/** How a job that another one waits for has ended. */
export interface DependencyResult {
  depends_on: string;
  job_type: string | null;
  status: 'waiting' | 'completed' | 'failed' | 'cancelled';
  /** What its handler returned; null when it returned nothing or its history is gone. */
  result: unknown;
  error: string | null;
}

/** The dependencies of a job with their results, in the order of their ids. At most 10,000. */
export const dependenciesOf = (tx: AnyTransaction, jobId: string): Promise<DependencyResult[]> =>
  tx.query<DependencyResult>(
    'select depends_on, job_type, status, result, error from plinth.job_dependencies where tenant_id = $1 and job_id = $2 order by depends_on limit 10000',
    [tx.context.tenantId, jobId],
  );
