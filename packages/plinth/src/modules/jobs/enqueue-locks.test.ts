/** Enqueuing in a business transaction adds nothing that another one waits for: no lock on a shared row, no NOTIFY, no counter. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

let jobs: JobsFixture;
let session: pg.Client;
let listener: pg.Client;
beforeAll(async () => {
  jobs = await jobsFixture('jobs_locks');
  session = new pg.Client({ connectionString: jobs.database.serverUrl });
  listener = new pg.Client({ connectionString: jobs.database.url });
  await Promise.all([session.connect(), listener.connect()]);
});
afterAll(async () => {
  await Promise.all([session.end(), listener.end()]);
  await jobs.database.drop();
});

type Tx = Parameters<Parameters<JobsFixture['plinth']['transaction']>[1]>[0];
const joined = (enqueue: (tx: Tx) => unknown) => () => jobs.plinth.join(session, { tenantId: jobs.a }, async (tx) => void enqueue(tx));
const rows = [{ n: 1 }, { n: 2 }];
/** Rows that the session has inserted, updated and deleted until now. */
const written = async (): Promise<number[]> => {
  const sums = 'select array[sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del)]::integer[] as n from pg_stat_xact_user_tables';
  return (await session.query<{ n: number[] }>(sums)).rows[0]?.n ?? [];
};

test.each<[string, number, () => Promise<unknown>]>([
  ['schedule_job', 1, () => session.query(`select plinth.schedule_job('k', p_payload := '{"n": 1}')`)],
  ['schedule_job with a time', 1, () => session.query(`select plinth.schedule_job('k', p_run_at := now() + interval '1 hour')`)],
  ['schedule_jobs', 2, () => session.query(`select plinth.schedule_jobs('[{"job_type": "k"}, {"job_type": "k", "concurrency_key": "c"}]')`)],
  ['tx.jobs.enqueue', 1, joined((tx) => tx.jobs.enqueue('k', { n: 1 }, { priority: 1 }))],
  ['tx.jobs.enqueue with a delay', 1, joined((tx) => tx.jobs.enqueue('k', {}, { delayMs: 60_000 }))],
  ['tx.jobs.enqueueMany', 2, joined((tx) => tx.jobs.enqueueMany('k', rows))],
])('%s locks no row of others, tells nobody and changes no row', async (_door, count, enqueue) => {
  const heard: number[] = [];
  const sentinel = Promise.withResolvers<void>();
  listener.on('notification', ({ processId, channel }) => (channel === 'over' ? sentinel.resolve() : heard.push(processId)));
  await listener.query('listen plinth_wake; listen over');
  // What waits for the same tenant, kind and queue.
  const beside = await jobs.database.admin.connect();
  try {
    await beside.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${jobs.a}'; set local lock_timeout = '1ms'`);
    await session.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${jobs.a}'; set local lock_timeout = '1ms'`);
    await beside.query(`select plinth.schedule_job('k')`);
    const before = await written();
    await enqueue();
    await beside.query(`select plinth.schedule_job('k')`);
    const { rows: locks } = await session.query(
      `select distinct l.locktype, l.mode from pg_locks l where l.pid = pg_backend_pid() and l.mode not in ('AccessShareLock', 'RowExclusiveLock')
       and l.locktype not in ('virtualxid')`,
    );
    // Its own number, on which nobody waits who does not wait for its rows.
    expect(locks).toEqual([{ locktype: 'transactionid', mode: 'ExclusiveLock' }]);
    const after = await written();
    expect(after.map((rows, n) => rows - (before[n] ?? 0))).toEqual([count, 0, 0]);
    await session.query('commit');
    await beside.query('commit');
  } finally {
    await Promise.allSettled([session.query('rollback'), beside.query('rollback')]);
    beside.release();
  }
  await jobs.database.admin.query('notify over');
  await sentinel.promise;
  const { rows: own } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
  expect(heard).not.toContain(own[0]?.pid);
  listener.removeAllListeners('notification');
});
