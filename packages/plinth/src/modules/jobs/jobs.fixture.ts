/** What the tests of jobs ask for again and again: two tenants, and the steps of a job's life straight on the database. */
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import type { ClaimedJob, Settlement } from './work.ts';
import { beatWorker, claimJobs, recoverJobs, settleJobs } from './work.ts';

export type Options = NonNullable<Parameters<Parameters<Parameters<Plinth['transaction']>[1]>[0]['jobs']['enqueue']>[2]>;

export interface Row {
  id: string;
  status: string;
  attempts: number;
  max_attempts: number;
  error: string | null;
  result: unknown;
  /** From the end of its last attempt, so that it is the same whenever it is asked; from now where there was none. */
  waits_s: number;
  progress: number;
  [column: string]: unknown;
}

export interface JobsFixture {
  database: TestDatabase;
  plinth: Plinth;
  a: string;
  b: string;
  enqueue(tenantId: string, kind: string, payload?: Record<string, unknown>, options?: Options): Promise<string>;
  /** As worker `w`, kind `k`, unless said otherwise. */
  claim(limit?: number, kinds?: string[], leaseMs?: number, worker?: string): Promise<ClaimedJob[]>;
  claimOne(leaseMs?: number, worker?: string): Promise<ClaimedJob>;
  /** False: refused, because another attempt has taken over. */
  settle(job: ClaimedJob, outcome: Settlement['outcome'], more?: Partial<Settlement>): Promise<boolean>;
  read(tenantId: string, id: string): Promise<Row | undefined>;
  attemptsOf(tenantId: string, id: string): Promise<{ attempt: number; outcome: string; error: string | null }[]>;
  /** Silence of a worker for longer than any lease. */
  falls(worker: string): Promise<unknown>;
  /** The attempts that should stop. */
  beat(worker: string): Promise<string[]>;
  recover(): Promise<number>;
  /** Looks at the gates that nobody could tell about, as workers do when these checks are due. */
  checkGates(): Promise<unknown>;
  /** The time of a scheduled job has come. */
  makeDue(id: string): Promise<unknown>;
  /** Nothing enqueued, nobody at work. */
  clear(): Promise<void>;
}

export async function jobsFixture(name: string): Promise<JobsFixture> {
  const database = await testDatabase(name);
  const { plinth, tenantA: a, tenantB: b } = database;
  const enqueue = (tenantId: string, kind: string, payload: Record<string, unknown> = {}, options: Options = {}): Promise<string> =>
    plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue(kind, payload, options));
  const claim = (limit = 10, kinds = ['k'], leaseMs = 15_000, worker = 'w'): Promise<ClaimedJob[]> =>
    plinth.asWorker({}, (tx) => claimJobs(tx, { worker, limit, leaseMs, kinds }));
  const claimOne = async (leaseMs?: number, worker?: string): Promise<ClaimedJob> => {
    const [job] = await claim(1, ['k'], leaseMs, worker);
    if (!job) throw new Error('nothing to claim');
    return job;
  };
  const settle = (job: ClaimedJob, outcome: Settlement['outcome'], more: Partial<Settlement> = {}): Promise<boolean> =>
    plinth.asWorker({}, async (tx) =>
      (await settleJobs(tx, [{ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome, ...more }])).statuses.has(job.run_id),
    );
  const read = async (tenantId: string, id: string): Promise<Row | undefined> =>
    (
      await plinth.transaction({ tenantId }, (tx) =>
        tx.query<Row>(
          `select *, extract(epoch from nullif(run_at, 'infinity')
             - coalesce((select max(a.finished_at) from plinth.job_attempts as a where a.job_id = j.id), clock_timestamp()))::float8 as waits_s
           from plinth.background_jobs as j where id = $1`,
          [id],
        ),
      )
    )[0];
  const attemptsOf = (tenantId: string, id: string) =>
    plinth.transaction({ tenantId }, (tx) =>
      tx.query<{ attempt: number; outcome: string; error: string | null }>(
        'select attempt, outcome, error from plinth.job_attempts where job_id = $1 order by id',
        [id],
      ),
    );
  const falls = (worker: string) =>
    database.admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 hour' where id = $1`, [worker]);
  const beat = async (worker: string): Promise<string[]> => (await plinth.asWorker({}, (tx) => beatWorker(tx, worker))).cancelled;
  const makeDue = (id: string) => database.admin.query(`update plinth_jobs.jobs set run_at = clock_timestamp() where id = $1`, [id]);
  const recover = async () => (await plinth.asWorker({}, (tx) => recoverJobs(tx))).taken;
  const checkGates = () => plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.check_gates(1000, $1)', ['infinity']));
  const clear = async (): Promise<void> => {
    for (const table of ['jobs', 'attempts', 'unique_keys', 'claims', 'workers', 'cancel_requests', 'retry_policies', 'gates', 'gate_parts', 'gate_checks'])
      await database.admin.query(`delete from plinth_jobs.${table}`);
  };
  return { database, plinth, a, b, enqueue, claim, claimOne, settle, read, attemptsOf, falls, beat, recover, checkGates, makeDue, clear };
}
