/** What /metrics tells of the installation, for the alerts of docs/runbook.md. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { prometheusMetrics } from '#adapters/telemetry/prometheus.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('health_metrics', { metrics: prometheusMetrics() });
});
afterAll(() => server.close());

test('workers that live, schedules that are late, endpoints that fail, partitions ahead and when maintenance was done', async () => {
  const { admin, tenantA, tenantB } = server.database;
  await admin.query(`insert into plinth_jobs.workers (id, name, beat_at) values ('lives#1', 'lives', now()), ('died#1', 'died', now() - interval '1 hour')`);
  await admin.query(
    `insert into plinth_jobs.schedules (tenant_id, name, cron, kind, enabled, next_run_at, error) values
      ($1, 'late', '* * * * *', 'k', true, now() - interval '10 minutes', null), ($1, 'off', '* * * * *', 'k', false, now() - interval '10 days', null),
      ($1, 'stopped', 'daily', 'k', true, now() - interval '10 days', 'Cron text has five fields')`,
    [tenantA],
  );
  for (const [tenantId, failing] of [
    [tenantA, true],
    [tenantB, false],
  ] as const)
    await admin.query(
      `with made as (insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by) values ($1, 'n', 'https://example.com/', '{a.*}', 'test') returning tenant_id, id)
       insert into plinth_webhooks.lanes (tenant_id, subscription_id, failing_since) select tenant_id, id, case when $2 then now() end from made
       on conflict (tenant_id, subscription_id) do update set failing_since = excluded.failing_since`,
      [tenantId, failing],
    );
  await admin.query(
    `drop table ${(await admin.query(`select name from plinth_kernel.partition_list('plinth_queue.done') order by upper_id desc limit 1`)).rows[0].name}`,
  );
  await admin.query(
    `insert into plinth_maintenance.runs (task, status, started_at, ended_at) values
      ('daily', 'completed', now() - interval '3 days', now() - interval '3 days'), ('daily', 'failed', now(), now()), ('weekly', 'completed', now(), now())`,
  );
  const { text } = await server.call('/metrics');
  const metricOf = (pattern: RegExp): number =>
    Number(
      text
        .split('\n')
        .find((line) => pattern.test(line))
        ?.split(' ')
        .at(-1),
    );
  expect(metricOf(/^plinth_workers[ {]/)).toBe(1);
  expect(metricOf(/^plinth_schedule_lateness[ {]/)).toBeGreaterThanOrEqual(600);
  expect(metricOf(/^plinth_schedule_lateness[ {]/)).toBeLessThan(86_400);
  expect(metricOf(/^plinth_webhook_lanes_failing[ {]/)).toBe(1);
  expect(metricOf(/^plinth_partitions_ahead\{.*kind="queue.done"/)).toBe(metricOf(/^plinth_partitions_ahead\{.*kind="queue.messages"/) - 1);
  expect(metricOf(/^plinth_maintenance_age[ {]/)).toBeGreaterThanOrEqual(3 * 86_400);
});
