/** What a transaction of one tenant leaves open keeps nobody else's jobs from ending, from being taken back, from starting: here by the steps, in apps/worker by a worker. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { runDueSchedules } from './scheduler.ts';
import { putSchedule } from './schedules.ts';
import { disownClaims, promoteJobs } from './work.ts';

let jobs: JobsFixture;
const open: (() => Promise<void>)[] = [];
beforeAll(async () => {
  jobs = await jobsFixture('jobs_open');
});
afterAll(() => jobs.database.drop());
afterEach(async () => {
  for (const close of open.splice(0)) await close();
  await jobs.clear();
});

/** A transaction that neither commits nor rolls back until it is told to. */
async function locks(text: string, values: unknown[] = [], begin = 'begin'): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: jobs.database.url });
  await client.connect();
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => (ended ??= client.end());
  open.push(end);
  await client.query(begin);
  await client.query(text, values);
  return end;
}
const leftOpen = (tenantId: string, text: string, values: unknown[] = []) =>
  locks(text, values, `begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'`);
const RUNNING = `select from plinth.background_jobs where status = 'processing' for update`;
const statuses = async (...ids: [string, string][]) => Promise.all(ids.map(async ([tenantId, id]) => (await jobs.read(tenantId, id))?.status));

test('the jobs of a dead worker are taken back, but for those that a transaction has locked; these when it is over', { timeout: 60_000 }, async () => {
  const { a, b } = jobs;
  const locked = await jobs.enqueue(a, 'k');
  const [mine, other] = [await jobs.enqueue(b, 'k'), await jobs.enqueue(b, 'k')];
  expect(await jobs.claim(10, ['k'], 15_000, 'dead')).toHaveLength(3);
  const release = await leftOpen(a, RUNNING);
  await jobs.falls('dead');
  expect(await jobs.recover()).toBe(2);
  expect(await statuses([a, locked], [b, mine], [b, other])).toEqual(['processing', 'pending', 'pending']);
  expect(await jobs.recover()).toBe(0);
  await release();
  expect(await jobs.recover()).toBe(1);
  expect(await statuses([a, locked])).toEqual(['pending']);
  expect((await jobs.database.admin.query('select from plinth_jobs.claims')).rowCount).toBe(0);
});

test('nor does what a lost job is linked to, which its tenant has locked', { timeout: 60_000 }, async () => {
  const { a, b } = jobs;
  const linked = await jobs.enqueue(a, 'k', {}, { uniqueKey: 'one', maxAttempts: 1 });
  const plain = await jobs.enqueue(b, 'k', {}, { maxAttempts: 1 });
  expect(await jobs.claim(10, ['k'], 15_000, 'dead')).toHaveLength(2);
  const release = await locks('select from plinth_jobs.unique_keys for update');
  await jobs.falls('dead');
  expect(await jobs.recover()).toBe(1);
  expect(await statuses([a, linked], [b, plain])).toEqual(['processing', 'failed']);
  await release();
  expect(await jobs.recover()).toBe(1);
  expect(await statuses([a, linked])).toEqual(['failed']);
});

test('claims whose answer was lost are given back, but for what is locked', { timeout: 60_000 }, async () => {
  const { a, b, plinth } = jobs;
  const [locked, other] = [await jobs.enqueue(a, 'k'), await jobs.enqueue(b, 'k')];
  expect(await jobs.claim(10, ['k'], 15_000, 'forgetful')).toHaveLength(2);
  const release = await leftOpen(a, RUNNING);
  const disown = () => plinth.asWorker({}, (tx) => disownClaims(tx, 'forgetful', []));
  expect(await disown()).toBe(1);
  expect(await statuses([a, locked], [b, other])).toEqual(['processing', 'pending']);
  await release();
  expect(await disown()).toBe(1);
  expect(await statuses([a, locked])).toEqual(['pending']);
});

test('jobs whose time has come start while a gate cannot be opened, because its tenant has locked what would end with it', { timeout: 60_000 }, async () => {
  const { a, b, plinth, database } = jobs;
  const first = await jobs.enqueue(a, 'k', {}, { maxAttempts: 1 });
  const dependent = await jobs.enqueue(a, 'k', {}, { dependsOn: [first], uniqueKey: 'one' });
  const job = await jobs.claimOne();
  const release = await leftOpen(a, 'select from plinth.background_jobs where id = $1 for update', [dependent]);
  expect(await jobs.settle(job, 'failed')).toBe(true);
  const keys = await locks('select from plinth_jobs.unique_keys for update');
  await release();
  const due = await jobs.enqueue(b, 'k', {}, { delayMs: 60_000 });
  await jobs.makeDue(due);
  await database.admin.query('update plinth_jobs.gate_checks set due_at = clock_timestamp()');
  expect(await plinth.asWorker({}, (tx) => promoteJobs(tx, 10))).toBe(1);
  expect(await statuses([a, dependent], [b, due])).toEqual(['scheduled', 'pending']);
  await keys();
  await jobs.checkGates();
  expect(await statuses([a, dependent])).toEqual(['failed']);
});

test('a schedule that may not overlap leaves out a tick while its key is being taken, and holds up no other', { timeout: 60_000 }, async () => {
  const { a, b, plinth, database } = jobs;
  const put = (tenantId: string) =>
    plinth.transaction({ tenantId }, (tx) => putSchedule(tx, { name: 'alone', cron: '0 0 1 1 *', timeZone: 'UTC', kind: 'k', skipIfRunning: true }));
  const held = await put(a);
  await put(b);
  await leftOpen(a, `select plinth.schedule_job('k', '{}', p_unique_key => 'schedule:' || $1::text)`, [held]);
  await database.admin.query('update plinth_jobs.schedules set next_run_at = clock_timestamp()');
  const { jobIds } = await plinth.asWorker({}, runDueSchedules);
  expect(jobIds).toHaveLength(1);
  expect((await jobs.read(b, jobIds[0] ?? ''))?.status).toBe('pending');
  const { rows } = await database.admin.query(
    'select note, error, next_run_at > clock_timestamp() as goes_on from plinth_jobs.schedules where tenant_id = $1',
    [a],
  );
  expect(rows).toEqual([{ note: expect.stringContaining('was left out'), error: null, goes_on: true }]);
});
