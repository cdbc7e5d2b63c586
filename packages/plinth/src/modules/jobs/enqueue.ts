import type { EffectSink, JsonObject, JsonText } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { batchEffects } from './batches.ts';
import { errors } from './errors.ts';
import type { EnqueueOptions } from './options.ts';
import { checkJob, checkPayload, optionColumns } from './options.ts';

export { MOST_PAYLOAD_BYTES } from './options.ts';

const fail = raiser('jobs', errors);

/** Jobs of one enqueueMany. */
export const MOST_JOBS = 50_000;

/** Hints that workers wait for (kernel/wake.ts): new jobs, a running job to cancel, a pause, a changed schedule. */
export const JOB_SIGNALS = { enqueued: 'jobs', cancelled: 'jobs_cancel', paused: 'jobs_pause', scheduled: 'jobs_schedules' } as const;

/** A job of enqueueMany with options of its own. */
export interface JobRow extends EnqueueOptions {
  kind: string;
  payload?: JsonObject | undefined;
}

/** Contexts of the transactions that add to a batch which exists. */
const adding = new WeakSet<object>();

/** Whether jobs for a batch may be waiting to be written: their batch is only kept open once they are. */
export const addsToBatch = (tx: AnyTransaction): boolean => adding.has(tx.context);

/** `tx.jobs`: jobs are enqueued with the transaction, or not at all. */
export function jobEffects(sink: EffectSink) {
  const push = (kind: string, payload: JsonText | undefined, options: EnqueueOptions): string => {
    const id = sink.newId();
    if (options.batchId !== undefined) adding.add(sink.context);
    sink.push(`jobs.enqueue(${JSON.stringify(kind)})`, { id, kind, payload, ...optionColumns(options) });
    return id;
  };

  function enqueueMany(kind: string, payloads: readonly JsonObject[], options?: Omit<EnqueueOptions, 'uniqueKey'>): string[];
  function enqueueMany(rows: readonly JobRow[]): string[];
  function enqueueMany(first: string | readonly JobRow[], payloads: readonly JsonObject[] = [], options: EnqueueOptions = {}): string[] {
    const count = typeof first === 'string' ? payloads.length : first.length;
    if (count > MOST_JOBS) throw fail('job_invalid', { message: `enqueueMany takes at most ${MOST_JOBS} jobs, not ${count}: call it again for the rest` });
    if (count === 0) return [];
    sink.afterCommit(JOB_SIGNALS.enqueued);
    const of = (n: number): string => ` (job ${n + 1} of ${count})`;
    if (typeof first !== 'string') {
      // All of them before the first is taken.
      const checked = first.map(({ kind, payload = {}, ...rest }, n) => ({ kind, payload: checkJob(kind, payload, rest, of(n)), rest }));
      return checked.map(({ kind, payload, rest }) => push(kind, payload, rest));
    }
    if (options.uniqueKey !== undefined) throw fail('job_invalid', { message: 'Many jobs cannot share one unique key: give rows, each with its own' });
    checkJob(first, {}, options);
    for (const [n, payload] of payloads.entries()) checkPayload(first, payload, of(n));
    const ids = payloads.map(() => sink.newId());
    if (options.batchId !== undefined) adding.add(sink.context);
    // One effect for all of them: a list of ids and a list of payloads, no object a job.
    const { more, ...columns } = optionColumns(options);
    sink.push(`jobs.enqueueMany(${JSON.stringify(first)}, ${count} jobs)`, { kind: first, ...columns, more: { ...(more as object), ids, payloads } });
    return ids;
  }

  const enqueuer = {
    /**
     * Enqueues one job and returns its id at once; the row is written before COMMIT and workers are woken after it.
     * Errors: jobs_job_invalid, jobs_payload_too_large, kernel_effect_invalid; when it is written jobs_duplicate, jobs_dependency_not_found, jobs_batch_finished.
     */
    enqueue(kind: string, payload: JsonObject = {}, options: EnqueueOptions = {}): string {
      const id = push(kind, checkJob(kind, payload, options), options);
      sink.afterCommit(JOB_SIGNALS.enqueued);
      return id;
    },

    /**
     * Enqueues many jobs, of one kind with common options or as rows with their own, and returns their ids in order. At most 50,000 a call.
     * Errors: those of enqueue; they name the row.
     *
     * @example
     * const ids = tx.jobs.enqueueMany('invoice.send', invoices.map((id) => ({ id })), { priority: 3 });
     */
    enqueueMany,
  };
  return { ...enqueuer, ...batchEffects(sink, enqueuer) };
}

/** A transaction of a build that holds this module, which every transaction of a procedure or handler here is. */
export type JobsTransaction = AnyTransaction & { readonly jobs: ReturnType<typeof jobEffects> };

/** Id of the job that holds a unique key now, in the tenant of the transaction. Flush first when this transaction enqueued it. */
export async function uniqueJob(tx: AnyTransaction, kind: string, uniqueKey: string): Promise<string | undefined> {
  const [row] = await tx.query<{ id: string | null }>('select plinth.unique_job($1, $2) as id', [kind, uniqueKey]);
  return row?.id ?? undefined;
}

/**
 * Of jobs that this transaction has just enqueued, in their order: their ids, with that of the holder in place of one that was left out because its
 * unique key was taken, and which these were, from 0. Writes what waits to be written, if one of them has a key.
 */
export async function holdersOf(
  tx: AnyTransaction,
  jobs: readonly { kind: string; unique_key?: string | undefined }[],
  ids: readonly string[],
): Promise<{ ids: string[]; duplicates: number[] }> {
  if (jobs.every((job) => job.unique_key === undefined)) return { ids: [...ids], duplicates: [] };
  await tx.flush();
  const rows = await tx.query<{ id: string | null }>(
    `select (select u.job_id from plinth_jobs.unique_keys u where u.tenant_id = $1 and u.kind = j.kind and u.key = j.key order by u.created_at desc limit 1) as id
     from unnest($2::text[], $3::text[]) with ordinality as j (kind, key, n) order by j.n`,
    [tx.context.tenantId, jobs.map((job) => job.kind), jobs.map((job) => job.unique_key ?? null)],
  );
  const holders = ids.map((id, n) => rows[n]?.id ?? id);
  return { ids: holders, duplicates: holders.flatMap((holder, n) => (holder === ids[n] ? [] : [n])) };
}
