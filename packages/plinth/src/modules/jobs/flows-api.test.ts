/** Many jobs over the API: bulk, unique keys, batches, dependencies, dead letters. */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createRecords } from '#kernel/records.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import { modules } from '#registry';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { flowsApi } from './flows-api.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('jobs_flows_api');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const caller = (tenantId: string, scopes = ['jobs.*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: jobs.plinth.newId(),
    adapters: {},
    run: (call, body) => jobs.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router({ ...api, ...flowsApi }))(context);
};

test('bulk enqueue, options, and the holder of a unique key', async () => {
  const a = caller(jobs.a);
  const deadline = '2126-01-01T00:00:00.000Z';
  const { ids } = await a.enqueueMany({
    jobs: [
      { kind: 'k', payload: { n: 1 }, concurrency_key: 'c', deadline },
      { kind: 'k', delay_ms: 60_000, backoff: { base_s: 1 } },
    ],
  });
  expect((await a.get({ id: ids[0] ?? '' })).job).toMatchObject({ status: 'pending', concurrency_key: 'c', deadline: new Date(deadline) });
  expect((await a.get({ id: ids[1] ?? '' })).job).toMatchObject({ status: 'scheduled' });
  expect(await errorCode(caller(jobs.b).get({ id: ids[0] ?? '' }))).toBe('jobs_job_not_found');
  const first = await a.enqueue({ kind: 'u', unique_key: 'x', unique_for_ms: 60_000 });
  expect(await a.enqueue({ kind: 'u', unique_key: 'x' })).toEqual({ id: first.id, duplicate: true });
  expect(await caller(jobs.b).enqueue({ kind: 'u', unique_key: 'x' })).toMatchObject({ duplicate: false });
  const [holder = ''] = (await a.enqueueMany({ jobs: [{ kind: 'u', unique_key: 'y' }] })).ids;
  const many = await a.enqueueMany({ jobs: [{ kind: 'u', unique_key: 'y' }, { kind: 'u' }, { kind: 'u', unique_key: 'z' }, { kind: 'u', unique_key: 'z' }] });
  expect(many).toMatchObject({ ids: [holder, expect.any(String), expect.any(String), many.ids[2]], duplicates: [0, 3] });
  for (const id of many.ids) expect((await a.get({ id })).job).toMatchObject({ status: 'pending' });
  expect(await a.makeBatch({ jobs: [{ kind: 'u', unique_key: 'y' }, { kind: 'u' }] })).toMatchObject({
    job_ids: [holder, expect.any(String)],
    duplicates: [0],
  });
  expect(await errorCode(a.enqueueMany({ jobs: [{ kind: 'k' }, { kind: 'k', on_duplicate: 'keep' }] }))).toBe('jobs_job_invalid');
});

test('a batch is made, read, added to and closed by its tenant only', async () => {
  const [a, b] = [caller(jobs.a), caller(jobs.b)];
  const made = await a.makeBatch({ name: 'B', open: true, on_complete: { kind: 'on.complete', max_attempts: 2 }, jobs: [{ kind: 'k' }, { kind: 'k' }] });
  expect(made.job_ids.length).toBe(2);
  expect(await a.batch({ id: made.id })).toMatchObject({ name: 'B', status: 'running', total: 2, adding: true });
  await a.enqueue({ kind: 'k', batch_id: made.id });
  expect(await errorCode(b.batch({ id: made.id }))).toBe('jobs_batch_not_found');
  expect(await errorCode(b.closeBatch({ id: made.id }))).toBe('jobs_batch_not_found');
  expect(await errorCode(caller(jobs.a, ['jobs.read']).closeBatch({ id: made.id }))).toBe('kernel_forbidden');
  await a.closeBatch({ id: made.id });
  for (const job of await jobs.claim(10)) await jobs.settle(job, 'completed');
  expect(await a.batch({ id: made.id })).toMatchObject({ status: 'completed', total: 3, completed: 3, adding: false });
  const [callback] = await jobs.claim(10, ['on.complete']);
  expect(callback).toMatchObject({ max_attempts: 2, payload: { batch: { id: made.id, completed: 3 } } });
});

test('a job that waits for others has no time, tells what it waits for, and can be put off', async () => {
  const [a, b] = [caller(jobs.a), caller(jobs.b)];
  const first = await a.enqueue({ kind: 'k' });
  const second = await a.enqueue({ kind: 'k', depends_on: [first.id] });
  expect((await a.get({ id: second.id })).job).toMatchObject({ status: 'scheduled', run_at: null });
  expect(await a.dependencies({ id: second.id })).toMatchObject({ dependencies: [{ depends_on: first.id, status: 'waiting' }] });
  expect(await b.dependencies({ id: second.id })).toEqual({ dependencies: [] });
  const page = await jobs.plinth.transaction({ tenantId: jobs.a, readOnly: true }, (tx) => createRecords(modules).page(tx, 'jobs', 'jobs', { limit: 10 }));
  expect(JSON.parse(JSON.stringify(page.rows)).find((row: { id: string }) => row.id === second.id)).toMatchObject({ run_at: null });
  expect(await a.reschedule({ id: second.id, run_at: '2126-01-01T00:00:00Z', priority: 1 })).toEqual({ id: second.id });
  expect(await errorCode(b.reschedule({ id: second.id, priority: 1 }))).toBe('jobs_job_not_found');
  await jobs.settle(await jobs.claimOne(), 'completed', { result: 7 });
  expect((await a.get({ id: second.id })).job).toMatchObject({ status: 'scheduled', priority: 1, run_at: new Date('2126-01-01T00:00:00Z') });
  expect(await a.dependencies({ id: second.id })).toMatchObject({ dependencies: [{ status: 'completed', result: 7 }] });
});

test('dead letters are previewed, and redriven by a job', async () => {
  const a = caller(jobs.a);
  const { id } = await a.enqueue({ kind: 'k', payload: { bad: 1 }, max_attempts: 1 });
  await jobs.settle(await jobs.claimOne(), 'failed', { error: 'Connection refused' });
  expect(await a.previewRedrive({ error: 'refused' })).toMatchObject({ matching: 1, capped: false, sample: [{ id, error: 'Connection refused' }] });
  expect(await caller(jobs.b).previewRedrive({})).toMatchObject({ matching: 0, sample: [] });
  expect(await errorCode(caller(jobs.a, ['jobs.write']).redrive({}))).toBe('kernel_forbidden');
  const writer = caller(jobs.a, ['jobs.write']);
  const sneaked = [
    () => writer.enqueue({ kind: 'jobs.redrive', payload: { filter: {} } }),
    () => writer.enqueueMany({ jobs: [{ kind: 'jobs.redrive', payload: { filter: {}, cancel: true } }] }),
    () => writer.makeBatch({ on_complete: { kind: 'jobs.redrive', payload: { filter: {} } } }),
    () => writer.putSchedule({ name: 's', cron: '* * * * *', kind: 'jobs.redrive', payload: { filter: {} } }),
  ];
  for (const call of sneaked) expect(await errorCode(call())).toBe('kernel_invalid_input');
  const { job_id } = await a.redrive({ filter: { error: 'refused' }, payload: { good: 1 }, per_second: 5 });
  expect((await a.get({ id: job_id })).job).toMatchObject({
    job_type: 'jobs.redrive',
    payload: { filter: { error: 'refused' }, payload: { good: 1 }, per_second: 5 },
  });
  expect(await a.retry({ id, payload: { fixed: 1 }, run_at: '2126-01-01T00:00:00Z' })).toEqual({ id });
  expect((await a.get({ id })).job).toMatchObject({ status: 'scheduled', payload: { fixed: 1 } });
});
