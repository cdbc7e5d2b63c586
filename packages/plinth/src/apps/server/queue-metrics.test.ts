/** What /metrics tells of the queues, of the consumers and of a worker in the same process. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prometheusMetrics } from '#adapters/telemetry/prometheus.ts';
import { workersOf } from '../worker/started.fixture.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('queue_metrics', { metrics: prometheusMetrics() });
});
afterAll(() => server.close());
const start = workersOf(() => server.database);

const metricOf = async (line: RegExp): Promise<number | undefined> => {
  const text = (await server.call('/metrics')).text;
  const found = text.split('\n').find((one) => line.test(one));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
};

const ADDED_UP = [
  /^plinth_jobs_claim_batch_sum/,
  /^plinth_jobs_claim_duration(_seconds)?_count/,
  /^plinth_jobs_settle_batch_sum/,
  /^plinth_jobs_settle_duration(_seconds)?_count/,
];

test('depth and oldest wait of every queue, over all tenants, and what the worker of the process does', async () => {
  const { plinth, tenantA, tenantB } = server.database;
  for (const tenantId of [tenantA, tenantB])
    await plinth.transaction({ tenantId }, async (tx) => {
      for (let n = 0; n < 3; n++) tx.jobs.enqueue('nobody', {}, { queue: 'slow' });
      tx.jobs.enqueue('k');
    });
  expect(await metricOf(/^plinth_queue_depth\{.*queue="slow"/)).toBe(6);
  await expect.poll(() => metricOf(/^plinth_queue_oldest_wait.*queue="slow"/), { interval: 200 }).toBeGreaterThan(1);
  // Workers of other files that ran in this process may have counted before.
  const sums = (): Promise<number[]> => Promise.all(ADDED_UP.map(async (line) => (await metricOf(line)) ?? 0));
  const before = await sums();
  const since = async (): Promise<number[]> => (await sums()).map((sum, nth) => sum - (before[nth] ?? 0));
  const worker = start(async () => {}, { concurrency: 3 });
  await expect.poll(() => worker.stats.completed).toBe(2);
  expect(await metricOf(/^plinth_jobs_slots/)).toBe(3);
  expect(await metricOf(/^plinth_jobs_waiting/)).toBe(0);
  await expect.poll(since).toEqual([2, expect.toSatisfy((claims: number) => claims > 0), 2, expect.toSatisfy((settlements: number) => settlements > 0)]);
  expect(await metricOf(/^plinth_jobs_event_loop_delay/)).toBeGreaterThanOrEqual(0);
});

test('two workers of one process have slots of their own for their queues, and each tells of them', async () => {
  const { plinth, tenantA: tenantId } = server.database;
  const gate = Promise.withResolvers<void>();
  const most = { mail: 0, report: 0 };
  const running = { mail: 0, report: 0 };
  const handlerOf = (queue: keyof typeof most) => async (): Promise<void> => {
    running[queue] += 1;
    most[queue] = Math.max(most[queue], running[queue]);
    await gate.promise;
    running[queue] -= 1;
  };
  const workers = (['mail', 'report'] as const).map((queue, n) => start(handlerOf(queue), { queues: [queue], concurrency: n + 1 }));
  await plinth.transaction({ tenantId }, async (tx) => {
    for (const queue of ['mail', 'report']) for (let n = 0; n < 4; n++) tx.jobs.enqueue('k', {}, { queue });
  });
  await expect.poll(() => running).toEqual({ mail: 1, report: 2 });
  expect(await metricOf(/^plinth_jobs_slots\{.*queues="mail"/)).toBe(1);
  expect(await metricOf(/^plinth_jobs_slots\{.*queues="report"/)).toBe(2);
  gate.resolve();
  await expect.poll(() => workers.map(({ stats }) => stats.completed)).toEqual([4, 4]);
  expect(most).toEqual({ mail: 1, report: 2 });
});

test('depth and oldest wait of message queues, over all tenants, whether anybody receives from them or not', async () => {
  const { plinth, tenantA, tenantB, admin } = server.database;
  for (const tenantId of [tenantA, tenantB])
    await plinth.transaction({ tenantId }, async (tx) => {
      tx.queue.sendMany('unread', [{ payload: 1 }, { payload: 2, groupKey: 'g' }, { payload: 3, delayMs: 86_400_000 }]);
      tx.queue.send('other', {});
    });
  const depth = () => metricOf(/^plinth_message_queue_depth\{.*queue="unread"/);
  await expect.poll(depth, { interval: 200 }).toBe(4);
  expect(await metricOf(/^plinth_message_queue_depth\{.*queue="other"/)).toBe(2);
  await expect.poll(() => metricOf(/^plinth_message_queue_oldest_wait.*queue="unread"/), { interval: 200 }).toBeGreaterThan(1);
  // What was delayed has waited since its delay ended, not since it was sent.
  await admin.query(`delete from plinth_queue.ready; delete from plinth_queue.grouped`);
  await admin.query(
    `update plinth_queue.hidden set visible_at = clock_timestamp(), since = plinth_kernel.v7_floor(clock_timestamp()), id = plinth_kernel.v7_floor('2026-01-01')
    where tenant_id = $1`,
    [tenantA],
  );
  await expect.poll(depth, { interval: 200 }).toBe(1);
  expect(await metricOf(/^plinth_message_queue_oldest_wait.*queue="unread"/)).toBeLessThan(3_600);
});

test('how far behind every consumer is, and whether it is paused', async () => {
  const { plinth, tenantA } = server.database;
  await plinth.asWorker({}, (tx) =>
    tx.query(`select plinth_kernel.feed_start('plinth_events.events', 'metrics.reader', 'now'), plinth.pause_consumer('metrics.reader', 'tested')`),
  );
  for (let n = 0; n < 3; n++) await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('metrics.tested', {}));
  await expect.poll(() => metricOf(/^plinth_consumer_waiting\{.*consumer="metrics.reader"/), { interval: 200 }).toBe(3);
  expect(await metricOf(/^plinth_consumer_lag(_seconds)?\{.*consumer="metrics.reader"/)).toBeGreaterThan(0);
  expect(await metricOf(/^plinth_consumer_paused\{.*consumer="metrics.reader"/)).toBe(1);
  expect(await metricOf(/^plinth_consumer_parked\{.*consumer="metrics.reader"/)).toBe(0);
});

test('everything that the runbook has alerts on is told', async () => {
  const { plinth, tenantA: tenantId, admin } = server.database;
  const worker = start(async () => {});
  await plinth.transaction({ tenantId }, async (tx) => void tx.jobs.enqueue('k'));
  await expect.poll(() => worker.stats.completed).toBe(1);
  await admin.query(`insert into plinth_maintenance.runs (task, status, ended_at) values ('daily', 'completed', now())`);
  const runbook = await readFile(new URL('../../../../../docs/runbook.md', import.meta.url), 'utf8');
  const alerts = runbook.split('## Alerts')[1]?.split('## Incidents')[0] ?? '';
  const named = [...new Set([...alerts.matchAll(/^\| `[^`]*?(plinth_[a-z_]+)/gm)].map(([, name = '']) => name))];
  expect(named.length).toBeGreaterThan(10);
  const told = () => server.call('/metrics').then(({ text }) => new Set(text.split('\n').map((line) => line.split(/[ {]/)[0])));
  // This process was given no pool to tell of; and what changes slowly is read every 10 s only.
  await expect
    .poll(async () => told().then((names) => named.filter((name) => !names.has(name))), { timeout: 20_000, interval: 500 })
    .toEqual(['plinth_pool_connections']);
});
