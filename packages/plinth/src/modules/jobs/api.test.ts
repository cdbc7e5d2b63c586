/** The API as its callers see it: answers, errors, permissions, and that another tenant finds nothing. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { runDueSchedules } from './schedules.ts';
import { claimJobs, settleJobs } from './work.ts';

let database: TestDatabase;
const signals: string[] = [];
beforeAll(async () => {
  database = await testDatabase('jobs_api');
  for (const name of ['jobs', 'jobs_cancel', 'jobs_schedules']) database.plinth.wake.on(name, () => signals.push(name));
});
afterAll(() => database.drop());
beforeEach(async () => {
  signals.length = 0;
  await database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.schedules');
});

const caller = (tenantId: string, scopes = ['jobs.*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};
const fail = async (id: string): Promise<void> => {
  await database.plinth.asWorker({}, async (tx) => {
    const [job] = await claimJobs(tx, { worker: 'w', limit: 1, leaseMs: 15_000, kinds: ['k'] });
    if (job?.id !== id) throw new Error('claimed another job');
    await settleJobs(tx, [{ tenant_id: job.tenant_id, id, run_id: job.run_id, outcome: 'failed', error: 'no', final: true }]);
  });
};

describe('jobs', () => {
  test('are enqueued, read, cancelled and run again', async () => {
    const a = caller(database.tenantA);
    const { id } = await a.enqueue({ kind: 'k', payload: { n: 1 }, name: 'One', priority: 2, queue: 'mail', max_attempts: 4 });
    expect(signals).toEqual(['jobs']);
    expect(await a.get({ id })).toMatchObject({
      job: { id, job_type: 'k', job_name: 'One', payload: { n: 1 }, priority: 2, queue: 'mail', max_attempts: 4, status: 'pending' },
      attempts: [],
    });
    await fail(id);
    expect(await a.get({ id })).toMatchObject({ job: { status: 'failed', error: 'no' }, attempts: [{ attempt: 1, outcome: 'failed', error: 'no' }] });
    expect(await a.retry({ id })).toEqual({ id });
    expect(await a.cancel({ id, reason: 'enough' })).toEqual({ id, status: 'cancelled' });
    expect(signals).toEqual(['jobs', 'jobs', 'jobs_cancel']);
    expect((await a.get({ id })).job).toMatchObject({ status: 'cancelled', error: 'enough' });
    expect(await errorCode(a.retry({ id }))).toBe('jobs_not_failed');
  });

  test('with a unique key that is taken answer with the job that has it', async () => {
    const a = caller(database.tenantA);
    const first = await a.enqueue({ kind: 'k', unique_key: 'u' });
    expect(first.duplicate).toBe(false);
    expect(await a.enqueue({ kind: 'k', unique_key: 'u' })).toEqual({ id: first.id, duplicate: true });
    expect((await caller(database.tenantB).enqueue({ kind: 'k', unique_key: 'u' })).duplicate).toBe(false);
  });

  test('may start later, by a moment or by a wait', async () => {
    const a = caller(database.tenantA);
    const later = await a.enqueue({ kind: 'k', run_at: '2099-01-01T00:00:00+01:00' });
    expect((await a.get({ id: later.id })).job).toMatchObject({ status: 'scheduled', run_at: new Date('2098-12-31T23:00:00Z') });
    const delayed = await a.enqueue({ kind: 'k', delay_ms: 60_000 });
    expect((await a.get({ id: delayed.id })).job.status).toBe('scheduled');
  });

  test.each([
    [{ kind: '' }, 'kernel_invalid_input'],
    [{ kind: 'k', priority: 0 }, 'kernel_invalid_input'],
    [{ kind: 'k', run_at: 'tomorrow' }, 'kernel_invalid_input'],
    [{ kind: 'k', payload: { text: 'x'.repeat(300_000) } }, 'jobs_payload_too_large'],
    [{ kind: 'k', payload: { text: 'a\0b' } }, 'jobs_job_invalid'],
  ])('are refused, and nothing is written: case %#', async (input, expected) => {
    expect(await errorCode(caller(database.tenantA).enqueue(input))).toBe(expected);
    expect((await database.admin.query('select 1 from plinth_jobs.jobs')).rowCount).toBe(0);
  });

  test('of another tenant are not there', async () => {
    const { id } = await caller(database.tenantA).enqueue({ kind: 'k' });
    const b = caller(database.tenantB);
    const answers = await Promise.all([b.get({ id }), b.cancel({ id }), b.retry({ id })].map(errorCode));
    expect(answers).toEqual(Array.from(answers, () => 'jobs_job_not_found'));
    expect((await caller(database.tenantA).get({ id })).job.status).toBe('pending');
  });

  test('need a permission', async () => {
    const reader = caller(database.tenantA, ['jobs.read']);
    expect(await errorCode(reader.enqueue({ kind: 'k' }))).toBe('kernel_forbidden');
    expect(await errorCode(caller(database.tenantA, ['audit.*']).get({ id: database.plinth.newId() }))).toBe('kernel_forbidden');
  });
});

describe('schedules', () => {
  const rows = async () =>
    (await database.admin.query('select name, cron, time_zone, kind, enabled, next_run_at > clock_timestamp() as ahead from plinth_jobs.schedules')).rows;

  test('are made, changed, paused, resumed and deleted', async () => {
    const a = caller(database.tenantA);
    const { id } = await a.putSchedule({ name: 'nightly', cron: '0 3 * * *', kind: 'k' });
    expect(await a.putSchedule({ name: 'nightly', cron: '0 4 * * *', time_zone: 'Europe/Berlin', kind: 'k' })).toEqual({ id });
    expect(await rows()).toEqual([{ name: 'nightly', cron: '0 4 * * *', time_zone: 'Europe/Berlin', kind: 'k', enabled: true, ahead: true }]);
    await a.pauseSchedule({ id });
    expect(await rows()).toMatchObject([{ enabled: false }]);
    await a.resumeSchedule({ id });
    expect(await rows()).toMatchObject([{ enabled: true }]);
    expect(signals).toEqual(['jobs_schedules', 'jobs_schedules', 'jobs_schedules', 'jobs_schedules']);
    expect(await a.deleteSchedule({ id })).toEqual({ id });
    expect(await rows()).toEqual([]);
  });

  test('that run keep the tick that they await when they are resumed once more', async () => {
    const a = caller(database.tenantA);
    const { id } = await a.putSchedule({ name: 'nightly', cron: '0 3 * * *', kind: 'k' });
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() - interval '2 hours'`);
    await a.resumeSchedule({ id });
    expect((await database.plinth.asWorker({}, (tx) => runDueSchedules(tx))).jobIds).toHaveLength(1);
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() - interval '2 hours'`);
    await a.pauseSchedule({ id });
    await a.resumeSchedule({ id });
    expect((await database.plinth.asWorker({}, (tx) => runDueSchedules(tx))).jobIds).toEqual([]);
  });

  test('are refused when they are not valid, and found by their own tenant only', async () => {
    const a = caller(database.tenantA);
    expect(await errorCode(a.putSchedule({ name: 'x', cron: 'every day', kind: 'k' }))).toBe('jobs_schedule_invalid');
    expect(await errorCode(a.putSchedule({ name: 'x', cron: '0 3 * * *', time_zone: 'Mars/Olympus', kind: 'k' }))).toBe('jobs_schedule_invalid');
    const { id } = await a.putSchedule({ name: 'x', cron: '0 3 * * *', kind: 'k' });
    const b = caller(database.tenantB);
    const answers = await Promise.all([b.deleteSchedule({ id }), b.pauseSchedule({ id }), b.resumeSchedule({ id })].map(errorCode));
    expect(answers).toEqual(Array.from(answers, () => 'jobs_schedule_not_found'));
    expect(await rows()).toHaveLength(1);
  });
});
