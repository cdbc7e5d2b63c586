/** What becomes of ticks that were missed, of windows and of overlaps: first as arithmetic, then in the database, by its clock. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { api } from './api.ts';
import { runDueSchedules } from './scheduler.ts';
import type { ScheduleInput } from './schedules.ts';
import { putSchedule } from './schedules.ts';
import type { DueTiming } from './ticks.ts';
import { planTicks } from './ticks.ts';

const timing = (more: Partial<DueTiming> = {}): DueTiming => ({
  cron: '0 * * * *',
  timeZone: 'UTC',
  missedRuns: 'once',
  catchUpLimit: 1000,
  tick: '2026-05-01 03:00:00+00',
  lastRunAt: null,
  ...more,
});
const plan = (more: Partial<DueTiming>, now: string) => {
  const { runs, next, note } = planTicks(timing(more), new Date(now));
  return {
    runs: runs.map(({ at, since, late }) => [new Date(at).toISOString().slice(5, 16), since ? new Date(since).toISOString().slice(5, 16) : '', late]),
    next: next?.toISOString().slice(5, 16),
    note,
  };
};

describe('the plan', () => {
  test('of a tick in time is that tick, whatever the policy', () => {
    for (const missedRuns of ['skip', 'once', 'all'] as const) {
      expect(plan({ missedRuns }, '2026-05-01T03:00:20Z')).toEqual({ runs: [['05-01T03:00', '', false]], next: '05-01T04:00', note: undefined });
    }
  });

  test('once: one job, that of the latest tick, makes up all, and knows since when', () => {
    expect(plan({}, '2026-05-01T07:30:00Z')).toEqual({
      runs: [['05-01T07:00', '05-01T03:00', true]],
      next: '05-01T08:00',
      note: 'the ticks from 2026-05-01T03:00:00Z up to 2026-05-01T07:00:00Z were made up by one job',
    });
    expect(plan({}, '2026-05-01T03:30:00Z')).toEqual({ runs: [['05-01T03:00', '', true]], next: '05-01T04:00', note: undefined });
  });

  test('skip: ticks that nobody took are dropped; one that is in time runs', () => {
    expect(plan({ missedRuns: 'skip' }, '2026-05-01T07:30:00Z')).toEqual({
      runs: [],
      next: '05-01T08:00',
      note: 'the ticks from 2026-05-01T03:00:00Z up to 2026-05-01T07:00:00Z were skipped: nobody took them in time',
    });
    expect(plan({ missedRuns: 'skip' }, '2026-05-01T07:00:30Z')).toMatchObject({
      runs: [['05-01T07:00', '', false]],
      note: expect.stringContaining('to before 2026-05-01T07:00:00Z'),
    });
    expect(plan({ missedRuns: 'skip' }, '2026-05-01T03:01:01Z')).toMatchObject({
      runs: [],
      note: 'the tick of 2026-05-01T03:00:00Z was skipped: nobody took it in time',
    });
  });

  test('all: every tick, the oldest first; beyond the limit the oldest are dropped and named', () => {
    expect(plan({ missedRuns: 'all' }, '2026-05-01T06:30:00Z')).toEqual({
      runs: ['03', '04', '05', '06'].map((hour) => [`05-01T${hour}:00`, '', true]),
      next: '05-01T07:00',
      note: undefined,
    });
    expect(plan({ missedRuns: 'all', catchUpLimit: 4 }, '2026-05-01T06:30:00Z')).toMatchObject({ runs: { length: 4 }, note: undefined });
    expect(plan({ missedRuns: 'all', catchUpLimit: 2 }, '2026-05-01T06:30:00Z')).toEqual({
      runs: ['05', '06'].map((hour) => [`05-01T${hour}:00`, '', true]),
      next: '05-01T07:00',
      note: 'the ticks from 2026-05-01T03:00:00Z to before 2026-05-01T05:00:00Z were dropped: no more than 2 are made up',
    });
    expect(plan({ missedRuns: 'all', cron: '* * * * *' }, '2026-06-01T00:00:00Z').runs).toHaveLength(1000);
  });

  test('all, over a night in which an hour comes twice: every tick once', () => {
    const { runs } = plan({ missedRuns: 'all', timeZone: 'Europe/Berlin', tick: '2026-10-24 23:00:00+00' }, '2026-10-25T03:10:00Z');
    expect(runs.map(([at]) => at)).toEqual(['10-24T23:00', '10-25T00:00', '10-25T01:00', '10-25T02:00', '10-25T03:00']);
  });

  test('a window that ended while nobody was there is made up to its end, and nothing comes after', () => {
    const endsAt = new Date('2026-05-01T05:00:00Z');
    expect(plan({ missedRuns: 'all', endsAt }, '2026-05-01T09:00:00Z')).toEqual({
      runs: [
        ['05-01T03:00', '', true],
        ['05-01T04:00', '', true],
      ],
      next: undefined,
      note: undefined,
    });
    expect(plan({ endsAt }, '2026-05-01T09:00:00Z')).toMatchObject({ runs: [['05-01T04:00', '05-01T03:00', true]], next: undefined });
  });

  test('a window that an edit has moved leaves the awaited tick outside', () => {
    expect(plan({ endsAt: new Date('2026-05-01T03:00:00Z') }, '2026-05-01T03:00:10Z')).toEqual({ runs: [], next: undefined, note: undefined });
    expect(plan({ startsAt: new Date('2026-05-01T06:00:00Z') }, '2026-05-01T03:00:10Z')).toEqual({ runs: [], next: '05-01T06:00', note: undefined });
    expect(plan({ missedRuns: 'all', startsAt: new Date('2026-05-01T05:00:00Z') }, '2026-05-01T06:30:00Z').runs.map(([at]) => at)).toEqual([
      '05-01T05:00',
      '05-01T06:00',
    ]);
  });

  test('once: of the ticks that an edit of the window left inside, the job knows the first', () => {
    const startsAt = new Date('2026-05-01T05:00:00Z');
    expect(plan({ startsAt }, '2026-05-01T07:30:00Z')).toMatchObject({
      runs: [['05-01T07:00', '05-01T05:00', true]],
      note: 'the ticks from 2026-05-01T05:00:00Z up to 2026-05-01T07:00:00Z were made up by one job',
    });
    expect(plan({ startsAt, missedRuns: 'all', catchUpLimit: 2 }, '2026-05-01T07:30:00Z').note).toBe(
      'the ticks from 2026-05-01T05:00:00Z to before 2026-05-01T06:00:00Z were dropped: no more than 2 are made up',
    );
  });

  test('all: a tick in time is enqueued behind those that were missed, whatever the spread', () => {
    expect(plan({ missedRuns: 'all' }, '2026-05-01T05:00:30Z').runs).toEqual([
      ['05-01T03:00', '', true],
      ['05-01T04:00', '', true],
      ['05-01T05:00', '', true],
    ]);
  });

  test('a clock that was set back brings no tick again', () => {
    expect(plan({ tick: null, lastRunAt: new Date('2026-05-01T03:00:00Z') }, '2026-05-01T02:59:58Z').next).toBe('05-01T04:00');
  });
});

describe('in the database', () => {
  let database: TestDatabase;
  let plinth: Plinth;
  let a: string;
  let b: string;
  beforeAll(async () => {
    database = await testDatabase('schedule_policy');
    ({ plinth, tenantA: a, tenantB: b } = database);
  });
  afterAll(() => database.drop());
  beforeEach(async () => {
    await database.admin.query('delete from plinth_jobs.jobs');
    await database.admin.query('delete from plinth_jobs.unique_keys');
    await database.admin.query('delete from plinth_jobs.schedules');
  });

  /** The API in the name of somebody of the tenant. */
  const schedulesCaller = (tenantId: string) => {
    const actor = { type: 'user', id: 'ada' } as const;
    return createCaller(router(api))({
      principal: { actor, tenantId, roles: [], scopes: ['jobs.*'], operator: false },
      correlationId: plinth.newId(),
      adapters: {},
      run: (call, body) => plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
    });
  };
  const run = () => plinth.asWorker({}, (tx) => runDueSchedules(tx));
  const put = (tenantId: string, name: string, more: Partial<ScheduleInput> = {}) =>
    plinth.transaction({ tenantId }, (tx) => putSchedule(tx, { name, cron: '0 * * * *', kind: 'hourly', ...more }));
  /** Half an hour from the present one: the latest tick is never one of this minute, which would not be late. */
  const minute = (new Date().getUTCMinutes() + 30) % 60;
  const away = `${minute} * * * *`;
  /** As if no worker had run for so long; the tick is a real one. */
  const missed = (id: string, interval: string, at = 0) =>
    database.admin.query(
      `update plinth_jobs.schedules set next_run_at = date_trunc('hour', clock_timestamp() - $2::interval) + $3 * interval '1 minute' where id = $1`,
      [id, interval, at],
    );
  const row = async (id: string) => (await database.admin.query('select * from plinth.job_schedules where id = $1', [id])).rows[0];
  const jobs = async () =>
    (
      await database.admin.query(
        `select tenant_id, id, status, payload, unique_key, run_at, correlation_id,
           extract(epoch from run_at - (payload ->> 'scheduled_for')::timestamptz) as after_tick from plinth.background_jobs order by run_at, id`,
      )
    ).rows;
  const refused = (more: Partial<ScheduleInput>): Promise<unknown> =>
    put(a, 'x', more).then(
      () => 'was taken',
      (error: unknown) => error,
    );

  test('each policy does what it says, in its tenant, and the payload tells the tick', async () => {
    const skip = await put(a, 'skip', { cron: away, missedRuns: 'skip' });
    const once = await put(b, 'once', { cron: away, payload: { x: 1 } });
    const all = await put(a, 'all', { cron: away, missedRuns: 'all', catchUpLimit: 3 });
    for (const id of [skip, once, all]) await missed(id, '5 hours 2 minutes', minute);
    expect((await run()).jobIds).toHaveLength(4);
    const found = await jobs();
    expect(found.filter((job) => job.tenant_id === b)).toMatchObject([
      { payload: { x: 1, scheduled_for: expect.stringMatching(`:${String(minute).padStart(2, '0')}:00.000Z$`), missed_since: expect.any(String) } },
    ]);
    const made = found.filter((job) => job.tenant_id === a).map((job) => job.payload.scheduled_for);
    expect(made).toHaveLength(3);
    expect(made).toEqual([...made].sort());
    expect(new Date(made[2]).getTime() - new Date(made[0]).getTime()).toBe(2 * 3_600_000);
    expect((await row(skip)).note).toContain('were skipped');
    expect((await row(skip)).last_run_at).toBeNull();
    expect((await row(once)).note).toContain('made up by one job');
    expect((await row(all)).note).toContain('were dropped: no more than 3 are made up');
    expect((await run()).jobIds).toEqual([]);
  });

  test('a schedule paused for a month makes up nothing when it is resumed, with all too', async () => {
    const id = await put(a, 'all', { missedRuns: 'all', enabled: false });
    await missed(id, '30 days');
    expect((await run()).jobIds).toEqual([]);
    await put(a, 'all', { missedRuns: 'all' });
    expect((await run()).jobIds).toEqual([]);
    expect((await row(id)).next_run_at.getTime()).toBeGreaterThan(Date.now() - 60_000);
  });

  test('ticks after it was resumed are owed, though no scheduler was up to see that it was', async () => {
    const caller = schedulesCaller(a);
    const id = await put(a, 'all', { missedRuns: 'all', cron: '* * * * *' });
    await caller.pauseSchedule({ id });
    await caller.resumeSchedule({ id });
    const { rows } = await database.admin.query('select next_run_at > clock_timestamp() as ahead, next_run_at from plinth_jobs.schedules');
    expect(rows).toEqual([{ ahead: true, next_run_at: expect.any(Date) }]);
    await database.admin.query(`update plinth_jobs.schedules set cron = 'never' where id = $1`, [id]);
    await caller.pauseSchedule({ id });
    await caller.resumeSchedule({ id });
    expect((await run()).jobIds).toEqual([]);
    expect((await row(id)).error).toContain('never');
  });

  test('one that had stopped with an error makes up nothing when it is corrected', async () => {
    const id = await put(a, 'all', { missedRuns: 'all' });
    await missed(id, '30 days');
    await database.admin.query(`update plinth_jobs.schedules set error = 'stopped' where id = $1`, [id]);
    expect(await run()).toEqual({ jobIds: [], nextInMs: undefined });
    await put(a, 'all', { missedRuns: 'all' });
    expect((await run()).jobIds).toEqual([]);
    expect(await row(id)).toMatchObject({ error: null, next_run_at: expect.any(Date) });
  });

  test('an edit of a schedule that is due loses no tick and gives none twice', async () => {
    const id = await put(a, 'edited', { payload: { old: true } });
    await missed(id, '0 hours');
    await put(a, 'edited', { cron: '*/30 * * * *', payload: { old: false } });
    expect((await run()).jobIds).toHaveLength(1);
    expect(await jobs()).toMatchObject([{ payload: { old: false } }]);
    // The next tick was worked out before the scheduler ran that very tick.
    const last = (await row(id)).last_run_at;
    await plinth.transaction({ tenantId: a }, (tx) =>
      tx.query('select plinth_jobs.put_schedule($1)', [JSON.stringify({ name: 'edited', cron: '0 5 * * *', kind: 'k', next_run_at: last })]),
    );
    expect((await run()).jobIds).toEqual([]);
    expect((await row(id)).next_run_at > last).toBe(true);
  });

  test('a job starts at its tick and a spread that is always the same for the schedule', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => put(i % 2 ? a : b, `j${i}`, { cron: away, jitterMs: 3_600_000 })));
    const spread = async () => {
      await database.admin.query('delete from plinth_jobs.jobs');
      await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp()`);
      expect((await run()).jobIds).toHaveLength(20);
      const rows = (
        await database.admin.query('select causation_id, extract(epoch from run_at - (payload ->> $1)::timestamptz)::float8 as s from plinth.background_jobs', [
          'scheduled_for',
        ])
      ).rows;
      return new Map(rows.map(({ causation_id, s }) => [causation_id, Math.round(s)]));
    };
    const first = await spread();
    expect(await spread()).toEqual(first);
    const seconds = ids.map((id) => first.get(id) ?? -1);
    expect(Math.min(...seconds)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...seconds)).toBeLessThanOrEqual(3600);
    expect(new Set(seconds).size).toBeGreaterThan(10);
    // Missed ones spread from the moment they are made up, not all at once.
    await database.admin.query('delete from plinth_jobs.jobs');
    for (const id of ids) await missed(id, '5 hours', minute);
    const { now } = (await database.admin.query<{ now: Date }>('select clock_timestamp() as now')).rows[0] as { now: Date };
    await run();
    expect((await jobs()).filter(({ run_at }) => run_at < now)).toEqual([]);
  });

  test('with skip_if_running a tick is left out while the job of an earlier one has not finished', async () => {
    const id = await put(a, 'alone', { skipIfRunning: true });
    const other = await put(b, 'alone', { skipIfRunning: true });
    const tick = async () => {
      await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp()`);
      return (await run()).jobIds;
    };
    expect(await tick()).toHaveLength(2);
    const { last_job_id: running, last_run_at: ranAt } = await row(id);
    await plinth.transaction({ tenantId: b }, async (tx) => tx.query('select plinth.cancel_job($1)', [(await row(other)).last_job_id]));
    const second = await tick();
    expect(second).toEqual([(await row(other)).last_job_id]);
    expect(await row(id)).toMatchObject({
      last_job_id: running,
      last_run_at: ranAt,
      note: expect.stringMatching(/^the tick of \S+Z was left out: the job of an earlier one has not finished$/),
    });
    expect((await jobs()).filter((job) => job.tenant_id === a)).toHaveLength(1);
    await plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.cancel_job($1)', [running]));
    expect(await tick()).toHaveLength(1);
    expect((await row(id)).last_job_id).not.toBe(running);
  });

  test('skip_if_running that is set while a job of the schedule runs leaves out ticks until that job has finished', async () => {
    const id = await put(a, 'slow');
    const tick = async () => {
      await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp()`);
      return (await run()).jobIds;
    };
    const [running] = await tick();
    await put(a, 'slow', { skipIfRunning: true });
    expect(await tick()).toEqual([]);
    expect(await row(id)).toMatchObject({ last_job_id: running, note: expect.stringContaining('was left out') });
    await plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.cancel_job($1)', [running]));
    expect(await tick()).toHaveLength(1);
    expect(await tick()).toEqual([]);
  });

  test('ends_at in the past is kept and never ticks; a window to come waits for its start', async () => {
    const ended = await put(a, 'ended', { endsAt: new Date('2020-01-01T00:00:00Z') });
    const later = await put(a, 'later', { startsAt: new Date('2099-01-01T00:30:00Z') });
    const { jobIds, nextInMs } = await run();
    expect(jobIds).toEqual([]);
    expect(nextInMs).toBeGreaterThan(1e12);
    expect(await row(ended)).toMatchObject({ next_run_at: null, error: null, note: 'no tick is to come: it ends at 2020-01-01T00:00:00.000Z' });
    expect((await row(later)).next_run_at).toEqual(new Date('2099-01-01T01:00:00Z'));
    await database.admin.query('delete from plinth_jobs.schedules where id = $1', [later]);
    expect(await run()).toEqual({ jobIds: [], nextInMs: undefined });
  });

  test('what is not valid is refused by a sentence that names the field', async () => {
    expect(await refused({ jitterMs: 3_600_001 })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'jitter_ms' } });
    expect(await refused({ catchUpLimit: 0 })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'catch_up_limit' } });
    expect(await refused({ priority: 0 })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'priority' } });
    expect(await refused({ kind: '' })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'kind' } });
    expect(await refused({ startsAt: new Date(2), endsAt: new Date(2) })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'ends_at' } });
    expect(await refused({ startsAt: new Date(Number.NaN) })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'starts_at' } });
    expect(await refused({ skipIfRunning: true, missedRuns: 'all' })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'skip_if_running' } });
    expect(await refused({ queue: 'q'.repeat(101) })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'queue' } });
    expect(await refused({ name: 'a\0b' })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'name' } });
    expect(await refused({ payload: { text: 'a\0b' } })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'payload' } });
    expect(await refused({ payload: { scheduled_for: 1 } })).toMatchObject({ code: 'jobs_schedule_invalid', detail: { field: 'payload' } });
    expect(await refused({ cron: '0 0 30 2 *' })).toMatchObject({
      code: 'jobs_schedule_invalid',
      detail: { field: 'cron' },
      message: expect.stringContaining('no moment to come'),
    });
    expect(await refused({ payload: { x: 'x'.repeat(262_100) } })).toMatchObject({ code: 'jobs_payload_too_large' });
    expect((await database.admin.query('select 1 from plinth_jobs.schedules')).rowCount).toBe(0);
  });

  test('a payload that the jobs table refuses stops its own schedule, not the others of the batch', async () => {
    const ids = await Promise.all([put(a, 'good'), put(a, 'bad'), put(b, 'good')]);
    await database.admin.query(`update plinth_jobs.schedules set payload = jsonb_build_object('x', repeat('x', 300000)) where name = 'bad'`);
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp()`);
    expect((await run()).jobIds).toHaveLength(2);
    expect((await row(ids[1])).error).toContain('the limit is 262144');
    expect(await row(ids[0])).toMatchObject({ error: null, last_job_id: expect.any(String) });
    expect((await run()).jobIds).toEqual([]);
  });

  test('moments that only SQL can write hold up no schedule of others', async () => {
    const [start, end, tick, good] = await Promise.all([put(a, 'start'), put(a, 'end'), put(a, 'tick'), put(b, 'good')]);
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp()`);
    await database.admin.query(`update plinth_jobs.schedules set starts_at = 'infinity' where id = $1`, [start]);
    await database.admin.query(`update plinth_jobs.schedules set starts_at = '-infinity', ends_at = 'infinity' where id = $1`, [end]);
    await database.admin.query(`update plinth_jobs.schedules set next_run_at = '-infinity' where id = $1`, [tick]);
    expect(await run()).toMatchObject({ jobIds: { length: 2 }, nextInMs: expect.toSatisfy((ms: number) => ms > 0) });
    expect(await row(good)).toMatchObject({ error: null, last_job_id: expect.any(String) });
    expect(await row(end)).toMatchObject({ error: null, last_job_id: expect.any(String) });
    expect(await row(tick)).toMatchObject({ error: null, last_job_id: null, next_run_at: expect.any(Date) });
    expect((await row(start)).error).toContain('its next tick cannot be worked out');
  });

  test('the context of the caller is as it was', async () => {
    const id = await put(a, 'one');
    await missed(id, '0 hours');
    const settings = `select current_setting('plinth.tenant_id', true) as tenant, current_setting('plinth.actor_id', true) as actor, current_setting('plinth.correlation_id', true) as correlation`;
    await plinth.asWorker({}, async (tx) => {
      const before = await tx.query(settings);
      expect((await runDueSchedules(tx)).jobIds).toHaveLength(1);
      const after = await tx.query(settings);
      expect(after.map((one) => ({ ...one, tenant: '' }))).toEqual(before.map((one) => ({ ...one, tenant: '' })));
      expect(after).toMatchObject([{ tenant: '' }]);
    });
  });
});
