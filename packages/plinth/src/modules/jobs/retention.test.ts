/** Finished jobs of one queue are kept longer or shorter than those of others. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_retention');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.database.admin.query('truncate plinth_jobs.jobs_run, plinth_jobs.queue_retention, plinth_kernel.retention_holds'));

/** A job that ended so many days ago, in the partition of its day. */
async function ended(tenantId: string, queue: string, days: number, status = 'completed'): Promise<void> {
  const { admin } = jobs.database;
  await admin.query(
    `begin; set local role plinth_owner; select plinth_kernel.partition_make('plinth_jobs.jobs_run', 'day', now() - ${days} * interval '1 day'); commit`,
  );
  await admin.query(
    `insert into plinth_jobs.jobs_run (tenant_id, kind, queue, status, attempts, run_id, worker, started_at, finished_at)
     select $1, 'k', $2, $4, 1, (left(f.floor::text, 24) || substr(gen_random_uuid()::text, 25))::uuid, 'w', t.at, case when $4 <> 'processing' then t.at end
     from (select now() - $3 * interval '1 day' as at) t cross join lateral (select plinth_kernel.v7_floor(t.at) as floor) f`,
    [tenantId, queue, days, status],
  );
}
const left = async (): Promise<string[]> => {
  const { rows } = await jobs.database.admin.query<{ what: string }>(
    `select case tenant_id when $1 then 'a' else 'b' end || ' ' || queue || ' ' || status as what from plinth_jobs.jobs_run order by 1`,
    [jobs.a],
  );
  return rows.map(({ what }) => what);
};
const setFor = (tenantId: string, queue: string, keep: string | null) =>
  jobs.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) =>
    tx.query<{ id: string }>('select plinth.set_queue_retention($1, $2, $3) as id', [queue, keep, 'agreed']),
  );
const setForAll = (queue: string, keep: string) => jobs.plinth.asWorker({}, (tx) => tx.query('select plinth.set_queue_retention($1, $2)', [queue, keep]));
const sweep = async (): Promise<number> => {
  const [row] = await jobs.plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_jobs.sweep_queues() as n'));
  return row?.n ?? -1;
};
/** What the one retention engine would do with jobs, and does. */
async function retention(): Promise<string[]> {
  const plan = await jobs.plinth.asWorker({}, (tx) =>
    tx.query<{ action: string; tenant_id: string | null; lower_id: string; upper_id: string; row_count: string }>(
      `select * from plinth_kernel.retention_plan('{jobs.jobs}') where row_count > 0`,
    ),
  );
  for (const { tenant_id, lower_id, upper_id } of plan.filter(({ action }) => action === 'sweep'))
    await jobs.plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.retention_sweep('jobs.jobs', $1, $2, $3)`, [tenant_id, lower_id, upper_id]));
  return plan.map(({ action, row_count }) => `${action} ${row_count}`).sort();
}

test('a queue that is kept shorter loses its old jobs, for those for whom it was said', async () => {
  await setForAll('mail', '1 day');
  await setFor(jobs.b, 'mail', '3 days');
  for (const tenant of [jobs.a, jobs.b]) for (const queue of ['mail', 'other']) await ended(tenant, queue, 2);
  await ended(jobs.a, 'mail', 0.5);
  expect(await sweep()).toBe(1);
  expect(await left()).toEqual(['a mail completed', 'a other completed', 'b mail completed', 'b other completed']);
  await setFor(jobs.b, 'mail', null);
  expect(await sweep()).toBe(1);
  expect(await left()).toEqual(['a mail completed', 'a other completed', 'b other completed']);
});

test('a queue that is kept longer holds its day, and the rest of that day leaves', async () => {
  await setFor(jobs.a, 'papers', '30 days');
  await ended(jobs.a, 'papers', 12);
  await ended(jobs.b, 'papers', 12);
  await ended(jobs.a, 'other', 12, 'cancelled');
  expect(await retention()).toEqual(['keep 3', 'sweep 1', 'sweep 1']);
  expect(await left()).toEqual(['a papers completed']);
  expect(await sweep()).toBe(0);
  await setFor(jobs.a, 'papers', null);
  expect(await retention()).toEqual(['drop 1']);
});

test('a job that has run for longer than jobs are kept stays when the rest of its day is swept', async () => {
  await ended(jobs.a, 'long', 12, 'processing');
  await ended(jobs.a, 'long', 12);
  expect(await retention()).toEqual(['keep 2', 'sweep 1']);
  expect(await left()).toEqual(['a long processing']);
});

test('a legal hold keeps what a queue would lose', async () => {
  await setForAll('mail', '1 day');
  await ended(jobs.a, 'mail', 3);
  await ended(jobs.b, 'mail', 3);
  await jobs.database.admin.query(`insert into plinth_kernel.retention_holds (tenant_id, kind, reason) values ($1, 'jobs.jobs', 'a lawsuit')`, [jobs.a]);
  expect(await sweep()).toBe(1);
  expect(await left()).toEqual(['a mail completed']);
});

test('while a tenant is placing one, the jobs of others leave', async () => {
  await setForAll('mail', '1 day');
  await ended(jobs.a, 'mail', 3);
  await ended(jobs.b, 'mail', 3);
  const placing = await jobs.database.admin.connect();
  await placing.query('begin');
  await placing.query(`insert into plinth_kernel.retention_holds (tenant_id, reason) values ($1, 'a lawsuit')`, [jobs.a]);
  expect(await sweep()).toBe(1);
  expect(await left()).toEqual(['a mail completed']);
  await placing.query('rollback');
  placing.release();
  expect(await sweep()).toBe(1);
});

test('policies are seen by their tenant only, stand in the audit log, and nonsense is refused', async () => {
  const [policy] = await setFor(jobs.a, 'mail', '2 days');
  const seen = (tenantId: string) =>
    jobs.plinth.transaction({ tenantId }, (tx) => tx.query('select queue, keep::text, reason, set_by from plinth.job_retention'));
  expect(await seen(jobs.a)).toEqual([{ queue: 'mail', keep: '2 days', reason: 'agreed', set_by: 'ada' }]);
  expect(await seen(jobs.b)).toEqual([]);
  const entries = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
    tx.query(`select action, actor_id from plinth_audit.entries where entity_id = $1`, [policy?.id]),
  );
  expect(entries).toEqual([{ action: 'job_retention.set', actor_id: 'ada' }]);
  for (const [queue, keep] of [
    ['', '1 day'],
    ['mail', '5 minutes'],
    ['mail', '11 years'],
    ['q'.repeat(101), '1 day'],
  ] as const)
    expect(await errorCode(setFor(jobs.a, queue, keep))).toBe('jobs_retention_invalid');
  expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth_jobs.sweep_queues()')))).not.toBe('no error');
});

test('the history has room for the end of each job beside its beginning, and is not vacuumed as it grows', async () => {
  const { rows } = await jobs.database.admin.query<{ options: string[] }>(
    `select distinct c.reloptions as options from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'plinth_jobs.jobs_run'::regclass`,
  );
  expect(rows).toEqual([{ options: ['fillfactor=50', 'autovacuum_vacuum_insert_threshold=-1', 'autovacuum_vacuum_scale_factor=1.5'] }]);
});
