/** What a worker process asks of the database. All of it runs as plinth_worker, across tenants, by the clock of the database. */
import type { Queryable } from '#kernel/database.ts';

/** A job that this process holds, until its lease ends. */
export interface ClaimedJob {
  tenant_id: string;
  id: string;
  /** The fence: every later call must show it. */
  run_id: string;
  seq: string;
  kind: string;
  name: string | null;
  queue: string;
  payload: Record<string, unknown>;
  attempt: number;
  /** Null: that of the kind. */
  max_attempts: number | null;
  priority: number;
  concurrency_key: string;
  correlation_id: string | null;
  causation_id: string | null;
  run_at: Date;
  deadline: Date | null;
  started_at: Date;
  /** Of one claim: told when every job of it is settled. */
  claim_id: string;
}

export interface ClaimRequest {
  worker: string;
  limit: number;
  leaseMs: number;
  /** Only kinds that have a handler here: others stay pending for a process that has one. */
  kinds: readonly string[];
  queues?: readonly string[] | undefined;
}

/** How an attempt ended; what follows from it is decided in plinth_jobs.settle. */
export interface Settlement {
  tenant_id: string;
  id: string;
  run_id: string;
  outcome: 'completed' | 'failed' | 'cancelled' | 'snoozed' | 'returned';
  result?: unknown;
  error?: string;
  /** Wait before the next attempt, ms. Default after a failure: plinth_jobs.backoff. */
  delay_ms?: number;
  /** True: no further attempt. */
  final?: boolean;
}

export type HeldRun = Pick<ClaimedJob, 'tenant_id' | 'id' | 'run_id'>;

/** Takes at most `limit` jobs, most urgent and oldest first. */
export const claimJobs = (tx: Queryable, request: ClaimRequest): Promise<ClaimedJob[]> =>
  tx.query<ClaimedJob>(`select * from plinth_jobs.claim($1, $2, $3 * interval '1 millisecond', $4, $5)`, [
    request.worker,
    request.limit,
    request.leaseMs,
    request.kinds,
    request.queues ?? null,
  ]);

/** Ends attempts. Returns the run ids that were accepted; the others had lost their lease. */
export async function settleJobs(tx: Queryable, settlements: readonly Settlement[]): Promise<Set<string>> {
  const rows = await tx.query<{ run_id: string }>('select settle as run_id from plinth_jobs.settle($1)', [JSON.stringify(settlements)]);
  return new Set(rows.map((row) => row.run_id));
}

/** A sign of life of a registered worker. Returns the attempts of its that should stop. Errors: jobs_lease_lost, it was given up. */
export async function beatWorker(tx: Queryable, worker: string): Promise<Set<string>> {
  const rows = await tx.query<{ run_id: string }>('select run_id from plinth_jobs.heartbeat($1)', [worker]);
  return new Set(rows.map((row) => row.run_id));
}

/** Makes a worker known. `sessionLock`: key of the advisory lock that its session holds, by which its death is noticed at once. */
export async function registerWorker(tx: Queryable, worker: { id: string; name: string; leaseMs: number; sessionLock?: bigint | undefined }): Promise<void> {
  await tx.query(`select plinth_jobs.register_worker($1, $2, $3 * interval '1 millisecond', $4)`, [
    worker.id,
    worker.name,
    worker.leaseMs,
    worker.sessionLock ?? null,
  ]);
}

/** Takes back the jobs of workers that died. Returns how many. */
export async function recoverJobs(tx: Queryable, limit = 100): Promise<number> {
  const [row] = await tx.query<{ n: number }>('select plinth_jobs.recover($1)::int as n', [limit]);
  return row?.n ?? 0;
}

/** Tells which kinds this process handles, with their defaults. */
export async function announceKinds(
  tx: Queryable,
  kinds: readonly { kind: string; summary: string; max_attempts: number; timeout_ms: number }[],
): Promise<void> {
  await tx.query('select plinth_jobs.announce_kinds($1)', [JSON.stringify(kinds)]);
}
