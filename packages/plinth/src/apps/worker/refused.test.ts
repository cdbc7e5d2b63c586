/** An outcome that the database always refuses ends its own job and holds up no other, of the same worker or of a dead one. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
const start = workersOf(() => database);

beforeAll(async () => {
  database = await testDatabase('worker_refused');
  // Stands for whatever nobody thought of: this job can be no dead letter.
  await database.admin.query(`
    create function public.refuse() returns trigger language plpgsql as $$
    begin
      raise exception 'not this one' using errcode = '23514', constraint = 'test';
    end
    $$;
    create trigger refuse before insert on plinth_jobs.jobs_failed for each row when (new.payload ? 'refused') execute function public.refuse();
  `);
});
afterAll(() => database.drop());
afterEach(async () => {
  await database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.claims; delete from plinth_jobs.workers');
});

const read = async (id: string) => (await database.admin.query('select * from plinth.background_jobs where id = $1', [id])).rows[0];
const until = (id: string, status: string) => expect.poll(async () => (await read(id))?.status, { interval: 20 }).toBe(status);
const count = async (table: string) => (await database.admin.query(`select from plinth_jobs.${table}`)).rowCount;

test('a job whose outcome and failure are refused is set aside, what it held is released, and jobs that end with it are stored', async () => {
  const { plinth, tenantA, tenantB, admin } = database;
  let bad = '';
  const batch = await plinth.transaction({ tenantId: tenantA }, async (tx) =>
    tx.jobs.batch({ name: 'B' }, (add) => {
      bad = add('k', { refused: true }, { maxAttempts: 1, uniqueKey: 'u' });
    }),
  );
  const payloads = Array.from({ length: 20 }, (_, n) => ({ n }));
  const others = await plinth.transaction({ tenantId: tenantB }, async (tx) => tx.jobs.enqueueMany('k', payloads));
  const worker = start(
    async (run) => {
      if (run.payload.refused) throw new Error('no');
      return { n: run.payload.n };
    },
    { concurrency: 40 },
  );
  for (const id of others) await until(id, 'completed');
  await until(bad, 'cancelled');
  expect(await read(bad)).toMatchObject({ attempts: 1, error: 'The outcome could not be stored: not this one' });
  expect((await admin.query('select status, cancelled::int from plinth.job_batches where id = $1', [batch])).rows).toEqual([
    { status: 'failed', cancelled: 1 },
  ]);
  expect(await count('unique_keys')).toBe(0);
  await expect.poll(() => count('claims')).toBe(0);
  await expect.poll(() => worker.stats).toMatchObject({ completed: 20, cancelled: 1, lost: 0 });
});

test('of the jobs of dead workers the one that is refused is set aside, and the others are taken back', async () => {
  const { plinth, tenantA, tenantB, admin } = database;
  const enqueue = (tenantId: string, payload = {}, options = {}) => plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', payload, options));
  const claim = (worker: string) => plinth.asWorker({}, (tx) => tx.query(`select id from plinth_jobs.claim($1, 10, '15 seconds', '{k}')`, [worker]));
  const bad = await enqueue(tenantA, { refused: true }, { maxAttempts: 1 });
  const beside = await enqueue(tenantB);
  await claim('w');
  const elsewhere = await enqueue(tenantB, {}, { maxAttempts: 1 });
  await claim('w2');
  await admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 hour'`);
  const [recovered] = await plinth.asWorker({}, (tx) => tx.query('select taken::int, failed from plinth_jobs.recover()'));
  expect(recovered).toMatchObject({ taken: 3, failed: [{ id: elsewhere, tenant_id: tenantB, kind: 'k', error: 'lease expired' }] });
  expect(await read(beside)).toMatchObject({ status: 'pending', error: 'lease expired' });
  expect(await read(elsewhere)).toMatchObject({ status: 'failed', error: 'lease expired' });
  expect(await read(bad)).toMatchObject({ status: 'cancelled', error: 'lease expired, and that could not be stored: not this one' });
  expect(await count('claims')).toBe(0);
});
