/** A handler may complete its job in a transaction that it opened with a driver of its own: whether that one commits is seen only after `plinth.join` has returned. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { JobRun } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
let pool: pg.Pool;
const start = workersOf(() => database);

beforeAll(async () => {
  database = await testDatabase('worker_joined');
  await database.admin.query(
    `create table receipts (job_id uuid not null, attempt integer not null, constraint receipts_once unique (job_id) deferrable initially deferred);
     grant all on receipts to plinth_app`,
  );
  pool = new pg.Pool({ connectionString: database.serverUrl });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
afterEach(() => database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.attempts; delete from plinth_jobs.claims; delete from receipts'));

/** The work of a job and its completion in a transaction of pg; `before` runs right before its COMMIT. */
async function workIn(run: JobRun, before: (client: pg.PoolClient) => Promise<unknown>): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin; set local role plinth_app');
    await client.query('insert into receipts values ($1, $2)', [run.id, run.attempt]);
    await database.plinth.join(client, { tenantId: run.tenantId }, (tx) => run.completeIn(tx, { attempt: run.attempt }));
    await before(client);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

const enqueue = (): Promise<string[]> =>
  Promise.all(
    [database.tenantA, database.tenantB].map((tenantId) =>
      database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', {}, { backoff: [0.01] })),
    ),
  );
const rows = async (text: string): Promise<unknown[]> => (await database.admin.query(text)).rows;
const jobs = () => rows('select status, result from plinth.background_jobs');
const outcomes = () => rows('select attempt, outcome, error from plinth.job_attempts order by attempt, job_id');
const claims = () => rows('select from plinth_jobs.claims');
const done = (attempt: number) => [1, 2].map(() => ({ status: 'completed', result: { attempt } }));

test.each<[string, string, (client: pg.PoolClient, run: JobRun) => Promise<unknown>]>([
  ['rolls back', 'no receipt', () => Promise.reject(new Error('no receipt'))],
  [
    'fails at COMMIT',
    'duplicate key value violates unique constraint "receipts_once"',
    (client, run) => client.query('insert into receipts values ($1, 0)', [run.id]),
  ],
])('a job whose own transaction %s runs again', async (_how, error, spoil) => {
  const worker = start((run) => workIn(run, async (client) => (run.attempt === 1 ? spoil(client, run) : undefined)));
  await enqueue();
  await expect.poll(jobs).toEqual(done(2));
  const failed = { attempt: 1, outcome: 'failed', error: expect.stringContaining(error) };
  const completed = { attempt: 2, outcome: 'completed', error: null };
  expect(await outcomes()).toEqual([failed, failed, completed, completed]);
  expect(await rows('select attempt from receipts')).toEqual([{ attempt: 2 }, { attempt: 2 }]);
  await expect.poll(claims).toEqual([]);
  await expect.poll(() => worker.stats).toMatchObject({ failed: 2, completed: 2, lost: 0 });
});

test('a job whose own transaction has committed is completed, whatever its handler does then', async () => {
  const worker = start(async (run) => {
    await workIn(run, async () => undefined);
    if (run.tenantId === database.tenantA) throw new Error('after the commit nothing can make it run again');
  });
  await enqueue();
  await expect.poll(jobs).toEqual(done(1));
  await expect.poll(claims).toEqual([]);
  await expect.poll(() => worker.stats).toMatchObject({ completed: 2, failed: 0, lost: 0 });
  expect(await rows('select attempt from receipts')).toEqual([{ attempt: 1 }, { attempt: 1 }]);
});
