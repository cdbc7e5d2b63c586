/** Jobs in threads, run by a real worker: what crosses over, and what happens to a thread that crashes or does not end. */
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { jobsKit } from '#testing/index.ts';
import type { Worker, WorkerOptions } from './index.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('threads');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_jobs.jobs'));

const module = new URL('./thread-job.fixture.ts', import.meta.url);
const startIn = workersOf(() => database);
type Handlers = NonNullable<WorkerOptions<TestDatabase['plinth']['modules']>['handlers']>;
const start = (definition: Partial<Handlers[string]> = {}, options: { threads?: number } = {}): Worker =>
  startIn(async () => {}, {
    stopMs: 100,
    threads: 1,
    ...options,
    others: { compute: { summary: 'computes', thread: module, ...definition } as Handlers[string] },
  });
const enqueue = (payload: Record<string, unknown>, tenantId = database.tenantA, maxAttempts = 1): Promise<string> =>
  database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('compute', payload, { maxAttempts }));
const read = async (id: string) => (await database.admin.query('select * from plinth.background_jobs where id = $1', [id])).rows[0];
const logged = (id: string) => expect.poll(async () => (await database.admin.query('select 1 from plinth.job_logs where job_id = $1', [id])).rowCount).toBe(1);
const ended = async (id: string) => {
  await expect.poll(async () => (await read(id)).finished_at, { timeout: 20_000, interval: 20 }).not.toBeNull();
  return read(id);
};

test('result, lines, progress and failure cross over', async () => {
  start();
  const id = await enqueue({ do: 'work' }, database.tenantB);
  expect(await ended(id)).toMatchObject({
    status: 'completed',
    result: { what: 'work', thread: true, attempt: 1, tenantId: database.tenantB },
    progress_note: 'half',
  });
  expect((await database.admin.query('select tenant_id, message, fields from plinth.job_logs where job_id = $1', [id])).rows).toEqual([
    { tenant_id: database.tenantB, message: 'in a thread', fields: { what: 'work' } },
  ]);
  expect(await ended(await enqueue({ do: 'fail' }, database.tenantA, 5))).toMatchObject({
    status: 'failed',
    error: 'JobFailure: hopeless (root)',
    attempts: 1,
  });
  expect(await ended(await enqueue({ do: 'throw what is no error' }))).toMatchObject({ status: 'failed', error: '{}' });
  expect(await ended(await enqueue({ do: 'odd result' }))).toMatchObject({ status: 'completed', result: { omitted: expect.stringContaining('not JSON') } });
  expect(await ended(await enqueue({ do: 'snooze' }, database.tenantA, 3))).toMatchObject({ status: 'completed', attempts: 1 });
});

test('what a job left behind in the thread does not speak for the next one', async () => {
  start();
  await ended(await enqueue({ do: 'work' }, database.tenantA));
  const id = await enqueue({ do: 'speak for another' }, database.tenantB);
  expect(await ended(id)).toMatchObject({ status: 'completed', progress_note: null, result: { refused: expect.stringContaining('The attempt is over') } });
  expect((await database.admin.query('select message from plinth.job_logs where job_id = $1', [id])).rows).toEqual([]);
});

test('the worker gives signs of life while a handler computes in a thread', async () => {
  const worker = start();
  const computed = join(tmpdir(), `plinth-computed-${randomUUID()}`);
  const id = await enqueue({ do: 'spin until', file: computed }, database.tenantA, 3);
  const beat = async (): Promise<string> =>
    (await database.admin.query<{ at: string }>('select beat_at::text as at from plinth_jobs.workers')).rows[0]?.at ?? '';
  try {
    await logged(id);
    for (const _ of [1, 2]) {
      const before = await beat();
      await expect.poll(beat).not.toBe(before);
    }
  } finally {
    await writeFile(computed, '');
  }
  expect(await ended(id)).toMatchObject({ status: 'completed', attempts: 1 });
  expect(worker.stats).toMatchObject({ lost: 0, recovered: 0 });
  await rm(computed);
});

test('one that does not end in time is ended with its thread, and the next job has another', async () => {
  start({ timeoutMs: 3_000 });
  expect(await ended(await enqueue({ do: 'for ever' }))).toMatchObject({ status: 'failed', error: 'timed out after 3000 ms' });
  expect(await ended(await enqueue({ do: 'work' }))).toMatchObject({ status: 'completed' });
});

test('a thread that crashes fails its job alone', async () => {
  start();
  expect(await ended(await enqueue({ do: 'exit' }))).toMatchObject({ status: 'failed', error: 'its thread ended with code 7' });
  expect(await ended(await enqueue({ do: 'throw elsewhere' }))).toMatchObject({ status: 'failed', error: 'its thread ended: nobody caught it' });
  expect(await ended(await enqueue({ do: 'work' }))).toMatchObject({ status: 'completed' });
});

test('the signal tells a handler of the cancellation, with its reason', async () => {
  start({ timeoutMs: 30_000 });
  const id = await enqueue({ do: 'wait' });
  await logged(id);
  await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
    await tx.query('select plinth.cancel_job($1)', [id]);
    tx.signal('jobs_cancel');
  });
  expect(await ended(id)).toMatchObject({ status: 'cancelled' });
});

test('finish writes in the main thread, with the job, and more jobs than threads wait their turn', async () => {
  start({
    finish: async (run, result) => {
      await run.transaction(async (tx) => {
        tx.audit.record({ action: 'thread.finished', metadata: { n: String(run.payload.n) } });
        await run.completeIn(tx, result);
      });
    },
  } as Partial<Handlers[string]>);
  const ids = await Promise.all([1, 2, 3, 4, 5].map((n) => enqueue({ do: 'spin', ms: 20, n })));
  for (const id of ids) expect(await ended(id)).toMatchObject({ status: 'completed', result: { what: 'spin', thread: true } });
  expect((await database.admin.query(`select 1 from plinth.audit_logs where action = 'thread.finished'`)).rowCount).toBe(5);
});

test('the time limit of a job begins when it has a thread', async () => {
  start({ timeoutMs: 6_000 });
  const ids = await Promise.all(Array.from({ length: 10 }, () => enqueue({ do: 'spin', ms: 700 })));
  for (const id of ids) expect(await ended(id)).toMatchObject({ error: null, status: 'completed', attempts: 1 });
});

test('nor does it run while the thread starts and imports the module, however long a slow machine takes for that', async () => {
  start({ timeoutMs: 500, thread: new URL('./thread-slow-start.fixture.ts', import.meta.url) } as Partial<Handlers[string]>);
  expect(await ended(await enqueue({}))).toMatchObject({ error: null, status: 'completed', attempts: 1 });
});

test('the test kit runs the module in its own thread', async () => {
  const kit = jobsKit({ plinth: database.plinth, tenantId: database.tenantA, handlers: { compute: { summary: 'computes', thread: module } } });
  expect(await kit.run('compute', { do: 'work' })).toMatchObject({ outcome: 'completed', result: { what: 'work' } });
});
