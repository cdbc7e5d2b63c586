/** Thousands of schedules: one index read tells what is due, and several schedulers enqueue every tick once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { runDueSchedules } from './scheduler.ts';

const TENANTS = 100;
const SCHEDULES = 2000;
const SCHEDULERS = 4;
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('schedule_load');
  await database.admin.query(`insert into plinth_kernel.tenants (slug, name) select 'load-' || n, 'Load ' || n from generate_series(1, $1) n`, [TENANTS]);
});
afterAll(() => database.drop());

test('2,000 schedules of 100 tenants, due at once, are enqueued once each by four schedulers', { timeout: 60_000 }, async () => {
  await database.admin.query(
    `insert into plinth_jobs.schedules (tenant_id, name, cron, time_zone, kind, payload, next_run_at)
     select t.id, 's' || n, case n % 3 when 0 then '0 0 * * *' when 1 then '*/15 * * * *' else '30 2 * * 1' end, case n % 2 when 0 then 'UTC' else 'Europe/Berlin' end, 'k', '{"x": 1}', clock_timestamp()
     from plinth_kernel.tenants t, generate_series(1, $1) n where t.slug like 'load-%'`,
    [SCHEDULES / TENANTS],
  );
  const started = performance.now();
  const enqueued: string[] = [];
  const scheduler = async (): Promise<void> => {
    for (let turn = 0; turn < 100; turn++) {
      const { jobIds, nextInMs } = await database.plinth.asWorker({}, (tx) => runDueSchedules(tx));
      enqueued.push(...jobIds);
      if (nextInMs === undefined || nextInMs > 0) return;
    }
  };
  await Promise.all(Array.from({ length: SCHEDULERS }, scheduler));
  console.log(`${SCHEDULES} schedules, ${SCHEDULERS} schedulers: ${Math.round(performance.now() - started)} ms`);
  expect(new Set(enqueued).size).toBe(SCHEDULES);
  expect(enqueued).toHaveLength(SCHEDULES);
  const { rows } = await database.admin.query(
    `select count(*)::int as jobs, count(distinct causation_id)::int as schedules, count(distinct tenant_id)::int as tenants,
       bool_and(exists (select from plinth_jobs.schedules s where s.id = j.causation_id and s.tenant_id = j.tenant_id)) as own
     from plinth.background_jobs j`,
  );
  expect(rows).toEqual([{ jobs: SCHEDULES, schedules: SCHEDULES, tenants: TENANTS, own: true }]);
});
