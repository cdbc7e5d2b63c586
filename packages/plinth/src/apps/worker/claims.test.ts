/** When a worker claims again. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Worker } from './index.ts';
import { startWorker } from './index.ts';

let database: TestDatabase;
let worker: Worker | undefined;
beforeAll(async () => {
  database = await testDatabase('claims');
});
afterAll(async () => {
  await worker?.stop({ graceMs: 0 });
  await database.drop();
});

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
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  const services = { log: silent, enabled: (module: string) => module === 'jobs' };
  worker = startWorker({ plinth, services, name: 'here', pollMs: 600_000, handlers: { k: { summary: 'test', handler } } });
  await promise;
  expect(most).toBe(1);
});
