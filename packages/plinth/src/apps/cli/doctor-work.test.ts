/** What `plinth doctor` says of an installation that nobody works in. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workFindings } from './doctor-work.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('doctor_work');
});
afterAll(() => database.drop());

const found = async () => (await workFindings(database.plinth as never)).map(({ check, state, seen, wayOut }) => [state, check, seen, wayOut] as const);

test('where a worker lives and nothing waits for long, all is well', async () => {
  const { admin, plinth, tenantA } = database;
  await admin.query(`insert into plinth_jobs.workers (id, name, beat_at) values ('lives#1', 'lives', now()), ('died#1', 'died', now() - interval '1 hour')`);
  await plinth.transaction({ tenantId: tenantA }, async (tx) => {
    tx.jobs.enqueue('k');
    await tx.query(`select plinth.send_message('inbox', '{}')`);
  });
  expect(await found()).toEqual([['ok', 'workers', '1 give signs of life', undefined]]);
});

test('no worker, a forgotten pause, jobs and messages that wait, endpoints that fail, maintenance that was not done: each is named with its way out', async () => {
  const { admin, plinth, tenantA } = database;
  await plinth.asWorker({}, (tx) => tx.query(`select plinth.pause_jobs('moved house')`));
  await admin.query(`update plinth_jobs.jobs_ready set run_at = now() - interval '1 hour'`);
  await admin.query(`update plinth_queue.ready set since = plinth_kernel.v7_floor(now() - interval '2 hours')`);
  await admin.query(
    `insert into plinth_maintenance.runs (task, status, started_at, ended_at) values ('daily', 'completed', now() - interval '3 days', now() - interval '3 days')`,
  );
  await admin.query(
    `with made as (insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by)
         select $1, 'n' || n, 'https://example.com/', '{a.*}', 'test' from generate_series(1, 11) n returning tenant_id, id)
       insert into plinth_webhooks.lanes (tenant_id, subscription_id, failing_since) select tenant_id, id, now() from made
       on conflict (tenant_id, subscription_id) do update set failing_since = excluded.failing_since`,
    [tenantA],
  );
  await admin.query(
    `insert into plinth_jobs.schedules (tenant_id, name, cron, kind, enabled, next_run_at) values ($1, 'late', '* * * * *', 'k', true, now() - interval '10 minutes')`,
    [tenantA],
  );
  const waits = (check: string) => ['warning', check, expect.stringMatching(/^1 wait, the oldest for \d{4} s$/), expect.any(String)];
  const rest = [
    ['warning', 'pauses', 'everything is paused for every tenant: moved house', expect.stringContaining('plinth.resume_jobs')],
    ['warning', 'webhooks', '11 subscriptions fail', expect.stringContaining('plinth.event_delivery_log')],
    ['warning', 'maintenance', 'was completed 72 hours ago', expect.stringContaining('plinth maintain daily')],
    waits('queue default'),
    waits('message queue inbox'),
  ];
  expect(await found()).toEqual([
    ['ok', 'workers', '1 give signs of life', undefined],
    ['warning', 'schedules', expect.stringMatching(/^the first that is due is 6\d\d s late$/), expect.any(String)],
    ...rest,
  ]);
  await admin.query('delete from plinth_jobs.workers');
  expect(await found()).toEqual([
    ['warning', 'workers', expect.stringContaining('none gives signs of life'), expect.stringContaining('plinth worker')],
    ...rest,
  ]);
});
