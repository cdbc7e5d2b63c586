/** Batches, flows and dead letters with real workers, as an application has them. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Worker } from '../packages/plinth/src/apps/worker/index.ts';
import { startWorker } from '../packages/plinth/src/apps/worker/index.ts';
import type { Tx } from '../packages/plinth/src/index.ts';
import type { JobDefinition } from '../packages/plinth/src/kernel/work.ts';
import { dependenciesOf } from '../packages/plinth/src/modules/jobs/index.ts';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';

let database: TestDatabase;
const workers: Worker[] = [];
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const start = (handlers: Record<string, JobDefinition<Tx>>, name = 'here'): void => {
  workers.push(
    startWorker({ plinth: database.plinth, services: { log: silent, enabled: (module) => module === 'jobs' }, name, pollMs: 100, concurrency: 8, handlers }),
  );
};
beforeAll(async () => {
  database = await testDatabase('jobs_flows_worker');
});
afterAll(() => database.drop());
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop({ graceMs: 0 })));
  await database.admin.query('delete from plinth_jobs.jobs');
});
const inA = <T>(body: (tx: Tx) => Promise<T>): Promise<T> => database.plinth.transaction({ tenantId: database.tenantA }, body);
const statuses = async (kind: string): Promise<string[]> =>
  (await database.admin.query<{ status: string }>('select status from plinth_jobs.jobs where kind = $1', [kind])).rows.map((row) => row.status);

test('handlers that complete in their own transactions, at once and on two workers: the callback of each batch runs once', async () => {
  const called: string[] = [];
  const handlers: Record<string, JobDefinition<Tx>> = {
    part: {
      summary: 'part',
      handler: async (run) => {
        await run.transaction(async (tx) => {
          tx.audit.record({ action: 'test.part' });
          if (run.payload.n === 0) tx.jobs.enqueue('part', { n: 1 }, { batchId: String(run.payload.batch) });
          await run.completeIn(tx);
        });
      },
    },
    done: { summary: 'done', handler: async (run) => void called.push((run.payload.batch as { id: string }).id) },
  };
  start(handlers, 'one');
  start(handlers, 'two');
  const batches: string[] = [];
  for (let n = 0; n < 20; n++) {
    const batch = await inA(async (tx) => tx.jobs.batch({ open: true, onComplete: { kind: 'done' } }));
    batches.push(batch);
    await inA(async (tx) => {
      tx.jobs.enqueueMany(
        'part',
        Array.from({ length: 6 }, (_, part) => ({ n: part, batch })),
        { batchId: batch },
      );
      await tx.flush();
      tx.jobs.closeBatch(batch);
    });
  }
  await expect.poll(() => [...called].sort(), { timeout: 30_000, interval: 50 }).toEqual([...batches].sort());
  const { rows } = await database.admin.query('select total::int as total, status from plinth.job_batches');
  expect(rows).toEqual(batches.map(() => ({ total: 7, status: 'completed' })));
}, 60_000);

test('a handler reads the results of the jobs it depends on; a job past its deadline fails unrun', async () => {
  const seen = Promise.withResolvers<unknown[]>();
  start({
    fetch: { summary: 'fetch', handler: async (run) => ({ rows: run.payload.rows }) },
    total: {
      summary: 'total',
      handler: async (run) => seen.resolve(await run.transaction(async (tx) => (await dependenciesOf(tx, run.id)).map((one) => one.result))),
    },
  });
  await inA(async (tx) => {
    const parts = [1, 2, 3].map((rows) => tx.jobs.enqueue('fetch', { rows }));
    tx.jobs.enqueue('total', {}, { dependsOn: parts });
    tx.jobs.enqueue('fetch', { rows: 'late' }, { deadline: new Date(0), name: 'late' });
  });
  expect(await seen.promise).toEqual([{ rows: 1 }, { rows: 2 }, { rows: 3 }]);
  await expect
    .poll(async () => (await database.admin.query(`select status, error from plinth.background_jobs where job_name = 'late'`)).rows)
    .toMatchObject([{ status: 'failed', error: expect.stringContaining('deadline') }]);
}, 30_000);

test('dead letters are redriven by the job of the module, with progress and result', async () => {
  let broken = true;
  start({
    flaky: {
      summary: 'flaky',
      maxAttempts: 1,
      handler: async () => {
        if (broken) throw new Error('the other side is down');
      },
    },
  });
  await inA(async (tx) =>
    tx.jobs.enqueueMany(
      'flaky',
      Array.from({ length: 40 }, (_, n) => ({ n })),
    ),
  );
  await expect.poll(async () => (await statuses('flaky')).filter((status) => status === 'failed').length, { timeout: 20_000, interval: 50 }).toBe(40);
  broken = false;
  const id = await inA(async (tx) => tx.jobs.enqueue('jobs.redrive', { filter: { error: 'is down' } }));
  await expect.poll(async () => (await statuses('flaky')).filter((status) => status === 'completed').length, { timeout: 20_000, interval: 50 }).toBe(40);
  const { rows } = await database.admin.query('select status, result, progress_note from plinth.background_jobs where id = $1', [id]);
  expect(rows).toMatchObject([{ status: 'completed', result: { redriven: 40, skipped: 0 }, progress_note: '40 done, 0 skipped' }]);
}, 60_000);
