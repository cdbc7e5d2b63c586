/** A pause and a worker that has fetched ahead. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pauseJobs } from '#modules/jobs';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Worker } from './index.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
const start = workersOf(() => database);

beforeAll(async () => {
  database = await testDatabase('worker_pause');
});
afterAll(() => database.drop());

test('what was fetched ahead of a pause is given back, and nothing else', async () => {
  const { plinth, tenantA, admin } = database;
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  let begun = 0;
  let ahead = false;
  const handler = async (): Promise<void> => {
    begun += 1;
    // Once it has been fast enough, on this machine, to fetch some of both kinds ahead.
    ahead ||= worker.stats.waiting > 4;
    if (ahead) await released;
  };
  const worker: Worker = start(handler, { concurrency: 1, prefetchMs: 600_000, others: { o: { summary: 'test', handler } } });
  const rows = Array.from({ length: 2_000 }, (_, n) => ({ kind: n % 2 === 0 ? 'k' : 'o' }));
  await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.jobs.enqueueMany(rows));
  // With the attempt: one that was given back and claimed again would have another.
  const held = async (kind: string): Promise<string[]> => {
    const { rows } = await admin.query<{ run_id: string }>(`select run_id from plinth_jobs.jobs where status = 'processing' and kind = $1`, [kind]);
    return rows.map((row) => row.run_id);
  };
  await expect.poll(() => ahead).toBe(true);
  const completed = async () => (await admin.query(`select from plinth_jobs.jobs where status = 'completed'`)).rowCount;
  await expect.poll(completed).toBe(begun - 1);
  const others = await held('o');
  await plinth.transaction({ tenantId: tenantA }, (tx) => pauseJobs(tx, { reason: 'their server is down', kind: 'k' }));
  // What was on its way here when the pause was heard of goes back with the next heartbeat. One may be running.
  await expect.poll(async () => (await held('k')).length).toBeLessThan(2);
  expect(others.length).toBeGreaterThan(1);
  expect(await held('o')).toEqual(expect.arrayContaining(others));
  release();
});
