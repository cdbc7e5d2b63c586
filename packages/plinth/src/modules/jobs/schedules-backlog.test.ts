/** After an outage: a big backlog of ticks is made up a batch at a time, and nothing is worked out that the batch has no room for. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { runDueSchedules } from './scheduler.ts';
import { planTicks } from './ticks.ts';

vi.mock('./ticks.ts', { spy: true });

const SCHEDULES = 170;
const MINUTES = 60;
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('schedules_backlog');
});
afterAll(() => database.drop());

test('10,000 ticks that an outage of an hour missed have one job each, at most 1,000 in a transaction', { timeout: 60_000 }, async () => {
  const { admin, tenantA, tenantB, plinth } = database;
  // Each with a limit of its own, so that no plan serves two.
  await admin.query(
    `insert into plinth_jobs.schedules (tenant_id, name, cron, kind, missed_runs, catch_up_limit, next_run_at)
     select case when n % 2 = 0 then $1::uuid else $2::uuid end, 's' || n, '* * * * *', 'k', 'all', 1000 - n, date_trunc('minute', clock_timestamp()) - interval '1 hour'
     from generate_series(1, $3) n`,
    [tenantA, tenantB, SCHEDULES],
  );
  const planned = vi.mocked(planTicks);
  let most = 0;
  let made = 0;
  for (let turn = 0; turn < 100; turn++) {
    planned.mockClear();
    const { jobIds, nextInMs } = await plinth.asWorker({}, (tx) => runDueSchedules(tx));
    made += jobIds.length;
    most = Math.max(most, jobIds.length);
    // Those of the batch, and the first that it had no room for.
    expect(planned.mock.calls.length).toBeLessThanOrEqual(jobIds.length / MINUTES + 1);
    if (nextInMs !== 0) break;
  }
  expect(most).toBeLessThanOrEqual(1000);
  expect(made).toBeGreaterThanOrEqual(SCHEDULES * (MINUTES + 1));
  const { rows } = await admin.query(
    `select count(*)::int as jobs, count(distinct (causation_id, payload ->> 'scheduled_for'))::int as ticks, count(distinct causation_id)::int as schedules from plinth.background_jobs`,
  );
  expect(rows).toEqual([{ jobs: made, ticks: made, schedules: SCHEDULES }]);
});
