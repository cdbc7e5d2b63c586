/** A pause and a worker that has fetched ahead. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pauseJobs } from '#modules/jobs';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
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
  const handler = async (): Promise<void> => {
    begun += 1;
    // By then it is fast enough to fetch ahead.
    if (begun > 200) await released;
  };
  const worker = start(handler, { concurrency: 1, others: { o: { summary: 'test', handler } } });
  const rows = Array.from({ length: 2_000 }, (_, n) => ({ kind: n % 2 === 0 ? 'k' : 'o' }));
  await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.jobs.enqueueMany(rows));
  const held = async (kind: string) => (await admin.query(`select from plinth_jobs.jobs where status = 'processing' and kind = $1`, [kind])).rowCount ?? 0;
  await expect.poll(() => begun > 200 && worker.stats.waiting > 2, { timeout: 15_000 }).toBe(true);
  await plinth.transaction({ tenantId: tenantA }, (tx) => pauseJobs(tx, { reason: 'their server is down', kind: 'k' }));
  await expect.poll(() => worker.stats.returned, { timeout: 15_000, interval: 5 }).toBeGreaterThan(0);
  // Without a pause all that waits goes back together, after two seconds.
  expect(await held('o')).toBeGreaterThan(1);
  expect(await held('k')).toBeLessThan(2);
  release();
});
