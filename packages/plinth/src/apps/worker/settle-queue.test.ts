/** Outcomes with large results: how many go together, and how many wait in memory. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
/** Bytes of each statement that stores outcomes with results; what it waits for before it is sent. */
const sent: number[] = [];
let gate: Promise<void> = Promise.resolve();

/** The same database, with an ear at the statements of workers. */
function overheard(real: TestDatabase): TestDatabase {
  const listen = <Tx extends AnyTransaction>(tx: Tx): Tx =>
    Object.assign(Object.create(tx) as Tx, {
      async query(text: string, values?: readonly unknown[]) {
        if (text.includes('plinth_jobs.settle(')) {
          sent.push(Buffer.byteLength(String(values?.[0])));
          await gate;
        }
        return tx.query(text, values);
      },
    });
  const { plinth } = real;
  return { ...real, plinth: { ...plinth, asWorker: (input, body) => plinth.asWorker(input, (tx) => body(listen(tx))) } };
}

beforeAll(async () => {
  database = overheard(await testDatabase('settling'));
});
afterAll(() => database.drop());
const start = workersOf(() => database);
const RESULT = { text: 'x'.repeat(200_000) };
const enqueue = (n: number): Promise<unknown> =>
  database.plinth.transaction({ tenantId: database.tenantA }, async (tx) =>
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: n }, () => ({})),
    ),
  );

test('results are stored a few megabytes at a time', async () => {
  const together = Promise.withResolvers<void>();
  let ran = 0;
  const worker = start(
    async () => {
      if (++ran === 60) together.resolve();
      await together.promise;
      return RESULT;
    },
    { concurrency: 60 },
  );
  await enqueue(60);
  await expect.poll(() => worker.stats.completed, { timeout: 30_000 }).toBe(60);
  expect(sent.length).toBeGreaterThan(2);
  expect(Math.max(...sent)).toBeLessThan(4.3 * 1024 * 1024);
  const { rows } = await database.admin.query(`select count(*)::int as n from plinth.background_jobs where length(result ->> 'text') = 200000`);
  expect(rows[0].n).toBe(60);
});

test('while they cannot be stored, no more jobs begin than what memory is set aside for', async () => {
  const stored = Promise.withResolvers<void>();
  gate = stored.promise;
  let ran = 0;
  const worker = start(
    async () => {
      ran += 1;
      return RESULT;
    },
    { concurrency: 10, prefetchMs: 600_000 },
  );
  await enqueue(400);
  // Until none begins from one sign of life of the worker to the next.
  const beat = async (): Promise<string> => (await database.admin.query('select max(beat_at)::text as at from plinth_jobs.workers')).rows[0].at;
  const begunInBetween = async (): Promise<number> => {
    const [before, last] = [ran, await beat()];
    await expect.poll(beat).not.toBe(last);
    return ran - before;
  };
  await expect.poll(() => ran, { timeout: 30_000 }).toBeGreaterThan(150);
  await expect.poll(begunInBetween, { timeout: 30_000 }).toBe(0);
  expect(ran).toBeLessThan(200);
  stored.resolve();
  await expect.poll(() => worker.stats.completed, { timeout: 30_000 }).toBe(400);
});

test('that they cannot be stored is told, not with each try, and they are stored when they can be', async () => {
  const told: unknown[] = [];
  const log = { info: () => {}, warn: (facts: object, message: string) => void told.push({ ...facts, message }), error: () => {} };
  const before = sent.length;
  gate = Promise.reject(new Error('not now'));
  gate.catch(() => {});
  const worker = start(async () => 'done', { services: { log, enabled: () => false } });
  await enqueue(1);
  await expect.poll(() => sent.length - before).toBeGreaterThan(3);
  gate = Promise.resolve();
  await expect.poll(() => worker.stats.completed).toBe(1);
  expect(told.length).toBeLessThan(sent.length - before - 1);
  expect(told[0]).toMatchObject({ jobs: 1, err: { message: 'not now' }, message: 'worker: outcomes could not be stored and are tried again' });
});
