/** Schedules that stand in code, of workers whose code differs: two applications, or two versions of one while it is deployed. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { JobDefinition } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { dropUnnamedSchedules, putCardSchedules } from './card-schedules.ts';
import { putSchedule, SYSTEM_TENANT } from './schedules.ts';

let database: TestDatabase;
let plinth: Plinth;
beforeAll(async () => {
  database = await testDatabase('card_schedules');
  ({ plinth } = database);
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_jobs.schedules'));

const job = (schedule?: JobDefinition['schedule']): JobDefinition => ({ summary: 's', handler: async () => {}, ...(schedule ? { schedule } : {}) });
const nightly = { nightly: job({ cron: '0 3 * * *', payload: { all: true } }), manual: job() };
const weekly = { weekly: job({ cron: '0 4 * * 0' }) };

const put = (definitions: Record<string, JobDefinition>) => plinth.asWorker({}, (tx) => putCardSchedules(tx, definitions));
const drop = (definitions: Record<string, JobDefinition>) => plinth.asWorker({}, (tx) => dropUnnamedSchedules(tx, definitions));
const later = (interval: string) => database.admin.query('update plinth_jobs.schedules set updated_at = updated_at - $1::interval', [interval]);
const rows = async () => (await database.admin.query('select * from plinth_jobs.schedules order by name')).rows;
const names = async () => (await rows()).map(({ name }) => name);

test("they are made once, and keep an operator's switch", async () => {
  await Promise.all([put(nightly), put(nightly)]);
  expect(await rows()).toMatchObject([{ tenant_id: SYSTEM_TENANT, name: 'nightly', kind: 'nightly', payload: { all: true }, source: 'card', enabled: true }]);
  expect((await database.admin.query('select plinth_jobs.system_tenant() as id')).rows).toEqual([{ id: SYSTEM_TENANT }]);
  await database.admin.query('update plinth_jobs.schedules set enabled = false');
  await put(nightly);
  expect(await rows()).toMatchObject([{ enabled: false }]);
});

test('they may say what becomes of missed ticks, of overlaps and of midnight', async () => {
  await put({ sweep: job({ cron: '0 0 * * *', queue: 'night', priority: 9, missedRuns: 'skip', jitterMs: 60_000, skipIfRunning: true }) });
  expect(await rows()).toMatchObject([{ queue: 'night', priority: 9, missed_runs: 'skip', jitter_ms: 60_000, skip_if_running: true }]);
});

test('a worker with other code leaves them alone, and the ticks that they await', async () => {
  await put(nightly);
  const [before] = await rows();
  await put(weekly);
  await drop(weekly);
  await put({});
  await drop({});
  expect(await names()).toEqual(['nightly', 'weekly']);
  expect((await rows())[0]).toEqual(before);
});

test('one that is in no code any more is deleted: after two hours where its kind is handled, after a day where nobody may be up who handles it', async () => {
  await put(nightly);
  await later('1 hour 59 minutes');
  expect(await drop({ nightly: job() })).toEqual([]);
  await later('2 minutes');
  expect(await drop(weekly)).toEqual([]);
  await put(nightly);
  expect(await drop({ nightly: job() })).toEqual([]);
  await later('2 hours 1 minute');
  expect(await drop({ nightly: job() })).toEqual(['nightly']);

  await put(nightly);
  await later('23 hours');
  expect(await drop(weekly)).toEqual([]);
  await later('2 hours');
  expect(await drop(weekly)).toEqual(['nightly']);
});

test('what an operator made of one stays, also when its code is gone, until it is deleted', async () => {
  await put(nightly);
  await plinth.transaction({ tenantId: SYSTEM_TENANT }, (tx) => putSchedule(tx, { name: 'nightly', cron: '0 5 * * *', kind: 'nightly' }));
  await put(nightly);
  await later('2 days');
  await drop({ nightly: job() });
  expect(await rows()).toMatchObject([{ cron: '0 5 * * *', source: 'api' }]);
  await database.admin.query('delete from plinth_jobs.schedules');
  await put(nightly);
  expect(await rows()).toMatchObject([{ cron: '0 3 * * *', source: 'card' }]);
});
