/** What somebody who watches a job reads, again and again: its state and its new lines, each by one key. */
import type { Queryable } from '#kernel/database.ts';
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
export const isOver = (state: Pick<JobState, 'status'>): boolean => ['completed', 'failed', 'cancelled'].includes(state.status);

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

export interface Watched {
  tenantId: string;
  jobId: string;
  /** Id of the last line that is known. */
  after: string | undefined;
}

/** What there is to see of a job now; no state: there is no such job any more. Moments are text, as JSON has them. */
export interface JobSight {
  state: (Omit<JobState, 'run_at' | 'started_at' | 'finished_at'> & Record<'run_at' | 'started_at' | 'finished_at', string | null>) | null;
  lines: (Omit<LoggedLine, 'logged_at'> & { logged_at: string })[];
}

/** Looks at many jobs of any tenants with one statement, in their order. As plinth_worker: the caller has checked who may see what. */
export const readWatched = (tx: Queryable, jobs: readonly Watched[], mostLines: number): Promise<JobSight[]> =>
  tx.query<JobSight>(
    `select s.state, coalesce(l.lines, '[]') as lines
     from unnest($1::uuid[], $2::uuid[], $3::uuid[]) with ordinality as w (tenant_id, id, after, n)
     left join lateral (
       select jsonb_build_object('status', j.status, 'attempts', j.attempts, 'progress', j.progress, 'progress_note', j.progress_note, 'error', j.error,
         'run_at', nullif(j.run_at, 'infinity'), 'started_at', j.started_at, 'finished_at', j.finished_at) as state
       from plinth_jobs.jobs j where j.tenant_id = w.tenant_id and j.id = w.id limit 1) s on true
     left join lateral (
       select jsonb_agg(to_jsonb(o) order by o.id) as lines from (
         select g.id, g.run_id, g.attempt, g.message, g.fields, g.created_at as logged_at from plinth_jobs.logs g
         where g.tenant_id = w.tenant_id and g.job_id = w.id and g.id > coalesce(w.after, '00000000-0000-0000-0000-000000000000') order by g.id limit $4) o) l on true
     order by w.n`,
    [jobs.map((job) => job.tenantId), jobs.map((job) => job.jobId), jobs.map((job) => job.after ?? null), mostLines],
  );
