/** Jobs that a program takes and ends by UPDATE of plinth.background_jobs, as SQL of long ago does. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { JobsFixture, Options } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_by_hand');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const put = (options: Options = {}) => jobs.enqueue(jobs.a, 'k', {}, options);
const query = (text: string, values: unknown[] = []) => jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(text, values));
const take = (id: string) => query(`update plinth.background_jobs set status = 'processing', started_at = now() where id = $1`, [id]);
const end = (id: string, status: string) => query('update plinth.background_jobs set status = $2, finished_at = now() where id = $1', [id, status]);
const turn = () => jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.rotate()'));
const status = async (id: string) => (await jobs.read(jobs.a, id))?.status;

test.each(['completed', 'cancelled', 'failed'])('one that was %s gives up its unique key when a worker turns the ring', async (outcome) => {
  const first = await put({ uniqueKey: 'u' });
  await take(first);
  await turn();
  expect(await status(await put({ uniqueKey: 'u' }))).toBeUndefined();
  await end(first, outcome);
  await turn();
  const second = await put({ uniqueKey: 'u' });
  expect(await status(second)).toBe('pending');
  await turn();
  expect(await status(await put({ uniqueKey: 'u' }))).toBeUndefined();
  expect(await jobs.read(jobs.a, first)).toMatchObject({ status: outcome, worker: null });
});

test('its batch finishes, and what depends on it runs or fails with it', async () => {
  let part = '';
  await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
    tx.jobs.batch({ onComplete: { kind: 'on.complete' } }, (add) => {
      part = add('k');
    });
  });
  const [good, bad] = [await put(), await put()];
  const [runs, fails] = [await put({ dependsOn: [good] }), await put({ dependsOn: [bad] })];
  const last = await put({ dependsOn: [fails] });
  for (const id of [part, good]) await end(id, 'completed');
  await take(bad);
  await end(bad, 'failed');
  await turn();
  await jobs.checkGates();
  expect((await query(`select 1 from plinth.background_jobs where job_type = 'on.complete'`)).length).toBe(1);
  expect(await Promise.all([runs, fails, last].map(status))).toEqual(['pending', 'failed', 'failed']);
});

test.each([
  ['completed', 'completed', {}],
  ['completed', 'completed', { result: { n: 1 } }],
  ['completed', 'failed', {}],
  ['failed', 'completed', {}],
  ['cancelled', 'failed', {}],
] as const)('one that a worker runs and that was %s lets go of what it held when the worker tells that it %s, %o', async (byHand, outcome, more) => {
  const first = await put({ uniqueKey: 'u' });
  const next = await put({ dependsOn: [first], onDependencyFailure: 'run' });
  const job = await jobs.claimOne();
  await end(first, byHand);
  expect(await status(await put({ uniqueKey: 'u' }))).toBeUndefined();
  expect(await jobs.settle(job, outcome, more)).toBe(false);
  expect(await status(await put({ uniqueKey: 'u' }))).toBe('pending');
  expect(await status(next)).toBe('pending');
  expect(await status(first)).toBe(byHand);
});

test.each(['completed', 'failed'])('one that was %s while its worker died lets go of what it held when the worker is found dead', async (byHand) => {
  const first = await put({ uniqueKey: 'u' });
  await jobs.claimOne();
  await end(first, byHand);
  await jobs.falls('w');
  expect(await jobs.recover()).toBe(0);
  expect(await status(await put({ uniqueKey: 'u' }))).toBe('pending');
});

test.each(['pending', 'scheduled', 'failed'])(
  'one that has been %s for longer than jobs are kept can be taken and ended, and is kept from then on',
  async (was) => {
    const { admin } = jobs.database;
    const id = '01900000-0000-7000-8000-000000000000';
    await admin.query(`insert into plinth_jobs.jobs (tenant_id, id, run_id, kind, status, run_at) values ($1, $2, $2, 'k', $3, now() - interval '1 hour')`, [
      jobs.a,
      id,
      was,
    ]);
    await take(id);
    await end(id, 'completed');
    expect(await status(id)).toBe('completed');
    const { rows } = await admin.query(
      `select run_id >= plinth_kernel.v7_floor(now() - interval '1 minute') as today from plinth_jobs.jobs_run where id = $1`,
      [id],
    );
    expect(rows).toEqual([{ today: true }]);
  },
);

test('an end that is told twice releases nothing that somebody has taken since', async () => {
  const first = await put({ uniqueKey: 'u', maxAttempts: 1 });
  const job = await jobs.claimOne();
  await jobs.settle(job, 'failed');
  await query('select plinth.retry_job($1)', [first]);
  expect(await jobs.settle(job, 'failed')).toBe(false);
  expect(await status(await put({ uniqueKey: 'u' }))).toBeUndefined();
});

test('only what no worker claimed is looked at, once', async () => {
  await put({ uniqueKey: 'u' });
  const [first, second] = [await put(), await put()];
  await put({ dependsOn: [first, second] });
  for (const [n, job] of (await jobs.claim(10)).entries()) await jobs.settle(job, n === 0 ? 'completed' : 'failed', { error: 'no', final: true });
  const settled = async () => (await jobs.plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_jobs.settle_by_hand()::int as n')))[0]?.n;
  expect(await settled()).toBe(0);
  const byHand = await put({ uniqueKey: 'v' });
  await end(byHand, 'completed');
  expect(await settled()).toBe(1);
  expect(await settled()).toBe(0);
});
