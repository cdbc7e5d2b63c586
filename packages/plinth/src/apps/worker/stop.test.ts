/** A worker that is stopped: what it has fetched ahead goes back, and a database that is away does not keep it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';
import type { Worker } from './index.ts';
import { startWorker } from './index.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
const start = workersOf(() => database);
beforeAll(async () => {
  database = await testDatabase('worker_stop');
});
afterAll(() => database.drop());

test('gives back what it has fetched ahead and not begun, without an attempt', { timeout: 60_000 }, async () => {
  const { plinth, tenantA, tenantB, admin } = database;
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let begun = 0;
  let ahead = false;
  const worker: Worker = start(
    async () => {
      begun += 1;
      ahead ||= worker.stats.waiting > 4;
      if (ahead) await released;
    },
    { concurrency: 1, prefetchMs: 600_000 },
  );
  for (const tenantId of [tenantA, tenantB])
    await plinth.transaction({ tenantId }, async (tx) =>
      tx.jobs.enqueueMany(
        'k',
        Array.from({ length: 1_000 }, (_, n) => ({ n })),
      ),
    );
  await expect.poll(() => ahead, { timeout: 20_000, interval: 10 }).toBe(true);
  const stopping = worker.stop({ graceMs: 20_000 });
  release();
  await stopping;
  const { rows } = await admin.query(
    'select status, min(attempts)::int as least, max(attempts)::int as most, count(*)::int as jobs from plinth_jobs.jobs group by 1 order by 1',
  );
  expect(rows).toEqual([
    { status: 'completed', least: 1, most: 1, jobs: begun },
    { status: 'pending', least: 0, most: 0, jobs: 2_000 - begun },
  ]);
  expect(worker.stats).toMatchObject({ completed: begun, running: 0, waiting: 0 });
  expect(worker.stats.returned).toBeGreaterThan(4);
  expect((await admin.query(`select from plinth_jobs.attempts where outcome <> 'completed'`)).rowCount).toBe(0);
});

test('ends although the database has been away for longer than its lease', { timeout: 60_000 }, async () => {
  const plinth = createPlinth({ database: { url: database.serverUrl } });
  const given = Promise.withResolvers<void>();
  const warn = (_fields: object, message: string): void => {
    if (message.startsWith('worker: it was given up')) given.resolve();
  };
  const log = { info: () => {}, warn, error: () => {} };
  const begun = Promise.withResolvers<void>();
  const worker = startWorker({
    plinth,
    services: { log, enabled: (module) => module === 'jobs' },
    pollMs: 100,
    leaseMs: 300,
    listen: false,
    handlers: { first: { summary: 'test', handler: async () => begun.resolve() } },
  });
  await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => tx.jobs.enqueue('first'));
  await begun.promise;
  const limit = (most: number) => database.admin.query(`do $$ begin execute format('alter database %I connection limit ${most}', current_database()); end $$`);
  await limit(0);
  try {
    await database.admin.query(
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and usename = $1 and pid <> pg_backend_pid()`,
      [new URL(database.serverUrl).username],
    );
    await given.promise;
    await worker.stop({ graceMs: 0 });
  } finally {
    await limit(-1);
    await plinth.close();
  }
});
