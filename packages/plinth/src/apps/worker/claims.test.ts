/** When a worker claims again. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Worker } from './index.ts';
import { startWorker } from './index.ts';

let database: TestDatabase;
let worker: Worker | undefined;
beforeAll(async () => {
  database = await testDatabase('claims');
});
afterAll(() => database.drop());
afterEach(async () => {
  await worker?.stop({ graceMs: 0 });
  await database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.limits');
});
const silent = { info: () => {}, warn: () => {}, error: () => {} };
const services = { log: silent, enabled: (module: string) => module === 'jobs' };

test('what a cap held back begins when others have ended, not at the next look of an idle process', { timeout: 20_000 }, async () => {
  const { plinth, tenantA: tenantId } = database;
  await plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.set_job_limit('tenant', p_max_running := 1)`));
  // An idle process looks four times a second: they would take 25 s.
  const ids = await plinth.transaction({ tenantId }, async (tx) =>
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 100 }, () => ({})),
    ),
  );
  let running = 0;
  let most = 0;
  let ran = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running -= 1;
    if (++ran === ids.length) resolve();
  };
  worker = startWorker({ plinth, services, name: 'here', pollMs: 600_000, handlers: { k: { summary: 'test', handler } } });
  await promise;
  expect(most).toBe(1);
});

test('what had to be given back is not fetched ahead again', { timeout: 30_000 }, async () => {
  const { plinth, tenantA: tenantId, admin } = database;
  await plinth.transaction({ tenantId }, async (tx) => {
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 3_000 }, (_, n) => ({ n })),
    );
  });
  let ran = 0;
  const handler = async (): Promise<void> => {
    // Fast at first, so that much is fetched ahead; then no job ends any more.
    if (++ran > 1_000) await new Promise(() => {});
  };
  worker = startWorker({ plinth, services, concurrency: 10, prefetchMs: 100, handlers: { k: { summary: 'test', handler } } });
  const { stats } = worker;
  // The pace of before is forgotten within a second or two, which its signs of life tell.
  const beats = async (n: number): Promise<void> => {
    const seen = new Set<string>();
    const look = async () => seen.add(String((await admin.query('select beat_at::text from plinth_jobs.workers')).rows[0]?.beat_at)).size;
    await expect.poll(look, { timeout: 20_000 }).toBeGreaterThan(n);
  };
  await expect.poll(() => stats.returned, { timeout: 20_000, interval: 20 }).toBeGreaterThan(0);
  await beats(3);
  const { claimed, returned } = stats;
  await beats(2);
  expect(stats).toMatchObject({ claimed, returned, running: 10, waiting: 0 });
});
