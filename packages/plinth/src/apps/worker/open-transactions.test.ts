/** Jobs that a transaction of their tenant has locked are stored when it is over, and those of all others do not wait for it. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
let locker: pg.Client;
const start = workersOf(() => database);

beforeAll(async () => {
  database = await testDatabase('worker_open');
  locker = new pg.Client({ connectionString: database.url });
  await locker.connect();
});
afterAll(async () => {
  await locker.end();
  await database.drop();
});
afterEach(async () => {
  await locker.query('rollback');
  await database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.claims; delete from plinth_jobs.workers');
});

const enqueue = (tenantId: string, payloads: Record<string, unknown>[]): Promise<string[]> =>
  database.plinth.transaction({ tenantId }, async (tx) => [...(await tx.jobs.enqueueMany('k', payloads))]);
const statuses = async (ids: readonly string[]): Promise<Record<string, number>> => {
  const { rows } = await database.admin.query<{ status: string; n: number }>(
    'select status, count(*)::int as n from plinth.background_jobs where id = any ($1) group by status',
    [ids],
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
};
const claims = async (): Promise<number> => (await database.admin.query('select from plinth_jobs.claims')).rowCount ?? 0;
/** Leaves a transaction of tenant A open that has locked these jobs. */
async function lock(ids: readonly string[]): Promise<void> {
  await locker.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${database.tenantA}'`);
  const { rowCount } = await locker.query(`select from plinth.background_jobs where id = any ($1) and status = 'processing' for update`, [ids]);
  expect(rowCount).toBe(ids.length);
}
const gated = () => {
  const gate = Promise.withResolvers<void>();
  let ran = 0;
  return {
    open: gate.resolve,
    get ran() {
      return ran;
    },
    handler: async (run: { payload: Record<string, unknown> }): Promise<unknown> => {
      ran += 1;
      await gate.promise;
      if (run.payload.fails) throw new Error('no');
      return run.payload.result;
    },
  };
};

test('what one has locked waits, also what fails and what has a result, and the claim of all of them with it', { timeout: 60_000 }, async () => {
  const { tenantA, tenantB } = database;
  const mine = await enqueue(tenantA, [{}, { result: 1 }, { fails: true }, {}, {}, {}]);
  const others = await enqueue(
    tenantB,
    Array.from({ length: 10 }, (_, n) => ({ result: n })),
  );
  const job = gated();
  const worker = start(job.handler, { concurrency: 50 });
  await expect.poll(() => job.ran).toBe(16);
  const locked = mine.slice(0, 3);
  await lock(locked);
  job.open();
  await expect.poll(() => statuses(others)).toEqual({ completed: 10 });
  // Of its own tenant only what is locked.
  await expect.poll(() => statuses(mine)).toEqual({ completed: 3, processing: 3 });
  const later = await enqueue(tenantA, [{}, {}]);
  await expect.poll(() => statuses(later)).toEqual({ completed: 2 });
  expect(await statuses(locked)).toEqual({ processing: 3 });
  expect(await claims()).toBeGreaterThan(0);
  await locker.query('rollback');
  await expect.poll(() => statuses(locked)).toEqual({ completed: 2, scheduled: 1 });
  await expect.poll(claims).toBe(0);
  expect(worker.stats).toMatchObject({ completed: 17, failed: 1, lost: 0 });
});

test('a worker goes on giving signs of life and running jobs while it cannot take back those of a dead one', { timeout: 60_000 }, async () => {
  const { tenantA, tenantB, plinth, admin } = database;
  const [held] = (await enqueue(tenantA, [{}])) as [string];
  await plinth.asWorker({}, (tx) => tx.query(`select * from plinth_jobs.claim('dead', 1, '15 seconds', '{k}')`));
  await lock([held]);
  await admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 hour' where id = 'dead'`);
  const job = gated();
  job.open();
  const worker = start(job.handler);
  const beats = async (): Promise<string> => (await admin.query(`select max(beat_at)::text as at from plinth_jobs.workers where id <> 'dead'`)).rows[0].at;
  await expect.poll(beats).not.toBeNull();
  for (let n = 0; n < 3; n++) {
    const last = await beats();
    await expect.poll(beats).not.toBe(last);
  }
  const others = await enqueue(tenantB, [{}, {}]);
  await expect.poll(() => statuses(others)).toEqual({ completed: 2 });
  expect(await statuses([held])).toEqual({ processing: 1 });
  await locker.query('rollback');
  await expect.poll(() => statuses([held])).toEqual({ completed: 1 });
  expect(worker.stats).toMatchObject({ recovered: 1, completed: 3 });
});

test('a worker that stops waits for what is locked no longer than its grace; it runs again', { timeout: 60_000 }, async () => {
  const { tenantA, tenantB } = database;
  const [held] = (await enqueue(tenantA, [{}])) as [string];
  const others = await enqueue(tenantB, [{}, {}]);
  const job = gated();
  const worker = start(job.handler, { stopMs: 100 });
  await expect.poll(() => job.ran).toBe(3);
  await lock([held]);
  job.open();
  await worker.stop({ graceMs: 200 });
  expect(await statuses(others)).toEqual({ completed: 2 });
  expect(await statuses([held])).toEqual({ processing: 1 });
  await locker.query('rollback');
  start(job.handler);
  await expect.poll(() => statuses([held])).toEqual({ completed: 1 });
});
