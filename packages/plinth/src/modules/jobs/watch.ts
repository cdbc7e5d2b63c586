/** What somebody who watches a job reads, again and again: its state and its new lines, each by one key. */
import type { AnyTransaction } from '#kernel/transaction.ts';

/** Hint (kernel/wake.ts) that a job that tells about itself has something new to see. */
export const JOB_WATCH_SIGNAL = 'jobs_watch';

export interface JobState {
  status: 'scheduled' | 'pending' | 'processing' | 'completed' | 'failed' | 'cancelled';
  attempts: number;
  progress: number;
  progress_note: string | null;
  error: string | null;
  run_at: Date | null;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface LoggedLine {
  id: string;
  run_id: string;
  attempt: number;
  message: string;
  fields: Record<string, unknown> | null;
  logged_at: Date;
}

/** A job in one of these is over; a dead letter may be run again, but not by itself. */
export const isOver = (state: JobState): boolean => ['completed', 'failed', 'cancelled'].includes(state.status);

/** State of a job of the tenant of the transaction; undefined when there is none. */
export async function readJobState(tx: AnyTransaction, jobId: string): Promise<JobState | undefined> {
  const [state] = await tx.query<JobState>(
    `select status, attempts, progress, progress_note, error, nullif(run_at, 'infinity') as run_at, started_at, finished_at
     from plinth.background_jobs where tenant_id = $1 and id = $2`,
    [tx.context.tenantId, jobId],
  );
  return state;
}

/** Lines of a job in their order, at most `limit`, only those after the line `after`. */
export const readLogs = (tx: AnyTransaction, jobId: string, after: string | undefined, limit: number): Promise<LoggedLine[]> =>
  tx.query<LoggedLine>(
    `select id, run_id, attempt, message, fields, logged_at from plinth.job_logs
     where tenant_id = $1 and job_id = $2 and id > coalesce($3::uuid, '00000000-0000-0000-0000-000000000000') order by id limit $4`,
    [tx.context.tenantId, jobId, after ?? null, limit],
  );
