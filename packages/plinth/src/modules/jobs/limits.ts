/** What may run at once, how often, by whom first, and what is paused: thin calls of the SQL verbs, each of which keeps its own audit entry. */
import type { AnyTransaction } from '#kernel/transaction.ts';
import { JOB_SIGNALS } from './enqueue.ts';

export interface JobLimit {
  /** What is counted together. `queue`: its jobs of all tenants, for operators; `key`: each concurrency key, or the one in `key`. */
  per: 'queue' | 'tenant' | 'key';
  /** Only jobs of this queue. Default: all. */
  queue?: string | undefined;
  key?: string | undefined;
  /** How many run at once, 1 to 1,000,000. Exact. */
  maxRunning?: number | undefined;
  /** How many start in `ratePeriodMs`, 1 to 1,000,000. */
  rate?: number | undefined;
  /** 1 second to 31 days. Default 1,000. */
  ratePeriodMs?: number | undefined;
  /** How many of them at once. Default: what one second allows, at least 1. */
  burst?: number | undefined;
  reason?: string | undefined;
}

export interface JobPause {
  reason: string;
  /** Undefined: any. What is given must all match. */
  queue?: string | undefined;
  kind?: string | undefined;
  key?: string | undefined;
  /** Undefined: until it is resumed. */
  forMs?: number | undefined;
}

/**
 * Sets a limit for the tenant of the transaction; of a worker without a tenant, for every tenant. Replaces the one with the same `per`,
 * queue and key. Returns its id. Errors: jobs_limit_invalid.
 */
export async function setJobLimit(tx: AnyTransaction, limit: JobLimit): Promise<string> {
  const [row] = await tx.query<{ id: string }>(`select plinth.set_job_limit($1, $2, $3, $4 * interval '1 millisecond', $5, $6, $7, $8) as id`, [
    limit.per,
    limit.maxRunning ?? null,
    limit.rate ?? null,
    limit.ratePeriodMs ?? 1000,
    limit.burst ?? null,
    limit.queue ?? null,
    limit.key ?? null,
    limit.reason ?? null,
  ]);
  tx.signal(JOB_SIGNALS.enqueued);
  return row?.id ?? '';
}

/** Errors: jobs_limit_not_found. */
export async function removeJobLimit(tx: AnyTransaction, id: string, reason?: string): Promise<void> {
  await tx.query('select plinth.remove_job_limit($1, $2)', [id, reason ?? null]);
  tx.signal(JOB_SIGNALS.enqueued);
}

/** Stops jobs from starting; those that run go on, and workers give back at once what they have fetched ahead. Returns the id of the pause. Errors: jobs_limit_invalid. */
export async function pauseJobs(tx: AnyTransaction, pause: JobPause): Promise<string> {
  const [row] = await tx.query<{ id: string }>(`select plinth.pause_jobs($1, $2, $3, $4, $5 * interval '1 millisecond') as id`, [
    pause.reason,
    pause.queue ?? null,
    pause.kind ?? null,
    pause.key ?? null,
    pause.forMs ?? null,
  ]);
  tx.signal(JOB_SIGNALS.paused);
  return row?.id ?? '';
}

/** Ends a pause and wakes the workers. Errors: jobs_pause_not_found. */
export async function resumeJobs(tx: AnyTransaction, id: string, reason?: string): Promise<void> {
  await tx.query('select plinth.resume_jobs($1, $2)', [id, reason ?? null]);
  tx.signal(JOB_SIGNALS.enqueued);
}

/** Share of the tenant of a worker's transaction beside others; undefined goes back to 1. Errors: jobs_limit_invalid. */
export async function setJobWeight(
  tx: AnyTransaction,
  weight: number | undefined,
  options: { queue?: string | undefined; reason?: string | undefined } = {},
): Promise<void> {
  await tx.query('select plinth.set_job_weight($1, $2, $3)', [weight ?? null, options.queue ?? null, options.reason ?? null]);
}

/** When the next rate allows a start or the next pause ends, in ms by the clock of the database; undefined: none is in the way. */
export async function nextRoomInMs(tx: AnyTransaction): Promise<number | undefined> {
  const [row] = await tx.query<{ ms: number | null }>(
    'select greatest(0, extract(epoch from plinth_jobs.next_room_at() - clock_timestamp()) * 1000)::float8 as ms where plinth_jobs.next_room_at() is not null',
  );
  return row?.ms ?? undefined;
}
