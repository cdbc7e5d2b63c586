/** Jobs that the clock enqueues: ticks across daylight saving, and one job a tick whatever the number of processes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { nextTick } from './cron.ts';
import { putSchedule, runDueSchedules } from './schedules.ts';

const ticks = (cron: string, timeZone: string, after: string, count: number): string[] => {
  const found: string[] = [];
  for (let at: Date | undefined = new Date(after); at && found.length < count; ) {
    at = nextTick(cron, timeZone, at);
    if (at) found.push(at.toISOString().slice(0, 16));
  }
  return found;
};

describe('cron text', () => {
  test('a time of day that spring leaves out runs once, when the gap ends', () => {
    expect(ticks('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00:00Z', 3)).toEqual(['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30']);
  });

  test('a time of day that autumn brings twice runs once, the first time', () => {
    expect(ticks('30 2 * * *', 'Europe/Berlin', '2026-10-24T00:00:00Z', 3)).toEqual(['2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30']);
    expect(ticks('30 1 * * *', 'America/New_York', '2026-10-31T04:00:00Z', 3)).toEqual(['2026-10-31T05:30', '2026-11-01T05:30', '2026-11-02T06:30']);
  });

  test('what repeats every hour or half hour runs in every one that there is', () => {
    expect(ticks('0 * * * *', 'Europe/Berlin', '2026-03-28T23:30:00Z', 3)).toEqual(['2026-03-29T00:00', '2026-03-29T01:00', '2026-03-29T02:00']);
    expect(ticks('0 * * * *', 'Europe/Berlin', '2026-10-24T23:30:00Z', 3)).toEqual(['2026-10-25T00:00', '2026-10-25T01:00', '2026-10-25T02:00']);
    expect(ticks('*/30 * * * *', 'America/New_York', '2026-11-01T05:10:00Z', 4)).toEqual([
      '2026-11-01T05:30',
      '2026-11-01T06:00',
      '2026-11-01T06:30',
      '2026-11-01T07:00',
    ]);
  });

  test('that never comes has no tick', () => {
    expect(nextTick('0 0 30 2 *', 'UTC', new Date('2026-01-01T00:00:00Z'))).toBeUndefined();
  });

  test.each([
    ['* * *', 'UTC'],
    ['61 * * * *', 'UTC'],
    ['* * * * * *', 'UTC'],
    ["'; drop table x", 'UTC'],
    ['* * * * *', 'Mars/Olympus'],
  ])('refuses %s in %s', (cron, timeZone) => {
    expect(() => nextTick(cron, timeZone, new Date(0))).toThrow(expect.objectContaining({ code: 'jobs_schedule_invalid', status: 422 }));
  });
});

describe('schedules', () => {
  let database: TestDatabase;
  let plinth: Plinth;
  let a: string;
  let b: string;
  beforeAll(async () => {
    database = await testDatabase('schedules');
    ({ plinth, tenantA: a, tenantB: b } = database);
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    await database.admin.query('delete from plinth_jobs.jobs');
    await database.admin.query('delete from plinth_jobs.schedules');
  });

  const run = () => plinth.asWorker({}, (tx) => runDueSchedules(tx));
  const put = (tenantId: string, name: string, more: Partial<Parameters<typeof putSchedule>[1]> = {}) =>
    plinth.transaction({ tenantId }, (tx) => putSchedule(tx, { name, cron: '0 3 * * *', kind: 'nightly', ...more }));
  const makeDue = (id: string, interval: string) =>
    database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() - $2::interval where id = $1 returning next_run_at`, [id, interval]);
  const row = async (id: string) =>
    (await database.admin.query('select *, next_run_at > clock_timestamp() as ahead from plinth_jobs.schedules where id = $1', [id])).rows[0];

  test('of any number of processes, one enqueues the job of a tick, in the tenant of the schedule', async () => {
    const ids = [await put(a, 'one', { payload: { x: 1 }, priority: 2, maxAttempts: 4 }), await put(b, 'one')];
    for (const id of ids) await makeDue(id, '1 minute');
    const enqueued = (await Promise.all(Array.from({ length: 8 }, run))).flatMap((result) => result.jobIds);
    expect(enqueued).toHaveLength(2);
    const { rows } = await database.admin.query(
      'select tenant_id, job_type, job_name, payload, priority, max_attempts, causation_id, correlation_id from plinth.background_jobs order by priority',
    );
    expect(rows).toMatchObject([
      { tenant_id: a, job_type: 'nightly', job_name: 'one', payload: { x: 1 }, priority: 2, max_attempts: 4, causation_id: ids[0] },
      { tenant_id: b, job_type: 'nightly', job_name: 'one', payload: {}, priority: 5, max_attempts: 3, causation_id: ids[1] },
    ]);
    expect(rows[0].correlation_id).not.toBe(rows[1].correlation_id);
    expect((await run()).jobIds).toEqual([]);
  });

  test('of ticks that were missed one is made up', async () => {
    const id = await put(a, 'late', { cron: '*/5 * * * *' });
    const due = (await makeDue(id, '3 hours')).rows[0].next_run_at;
    expect((await run()).jobIds).toHaveLength(1);
    expect((await run()).jobIds).toHaveLength(0);
    const { last_run_at: tick, ahead, note } = await row(id);
    expect(ahead).toBe(true);
    expect(tick.getTime() - due.getTime()).toBeGreaterThan(3_600_000);
    expect(note).toMatch(/^the ticks from \S+Z up to \S+Z were made up by one job$/);
  });

  test('tells how long until the next tick, and a paused schedule has none', async () => {
    expect((await run()).nextInMs).toBeUndefined();
    const id = await put(a, 'soon');
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() + interval '10 seconds' where id = $1`, [id]);
    const { nextInMs } = await run();
    expect(nextInMs).toBeGreaterThan(5_000);
    expect(nextInMs).toBeLessThanOrEqual(10_000);
    await put(a, 'soon', { enabled: false });
    await makeDue(id, '1 minute');
    expect(await run()).toEqual({ jobIds: [], nextInMs: undefined });
  });

  test('one that SQL wrote without a next tick gets one; one with bad cron text stops and says why', async () => {
    const insert = (name: string, cron: string) =>
      database.admin.query<{ id: string }>(`insert into plinth_jobs.schedules (tenant_id, name, cron, kind) values ($1, $2, $3, 'k') returning id`, [
        a,
        name,
        cron,
      ]);
    const good = (await insert('good', '0 3 * * *')).rows[0]?.id ?? '';
    const bad = (await insert('bad', 'every day')).rows[0]?.id ?? '';
    expect((await run()).jobIds).toEqual([]);
    expect(await row(good)).toMatchObject({ ahead: true, error: null });
    expect((await row(bad)).error).toContain('every day');
  });

  test('a tenant sees its own only', async () => {
    await put(a, 'mine');
    const names = (tenantId: string) => plinth.transaction({ tenantId }, (tx) => tx.query('select name from plinth.job_schedules'));
    expect(await names(a)).toEqual([{ name: 'mine' }]);
    expect(await names(b)).toEqual([]);
  });
});
