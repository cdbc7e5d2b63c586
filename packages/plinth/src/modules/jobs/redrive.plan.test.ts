/** What a page of dead letters costs must not grow with all that failed. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { pagesOf } from '#testing/pages.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('redrive_plan');
});
afterAll(() => database.drop());

const fail = (count: number): Promise<unknown> =>
  database.admin.query(
    `insert into plinth_jobs.jobs_failed (tenant_id, kind, status, error, attempts, finished_at)
     select $1, 'mail.send', 'failed', 'it failed', 3, now() from generate_series(1, $2::int) n`,
    [database.tenantA, count],
  );

test.each(['before', 'after'])('a page to be run again is read by the primary key, from where the last one ended, %s statistics are gathered', async (when) => {
  const { admin, tenantA: tenantId } = database;
  const page = (after: string | undefined): Promise<number> =>
    pagesOf(
      database,
      { role: 'plinth_app', tenantId },
      `select * from plinth_jobs.dead_letters('${tenantId}', '{"kind": "mail.send"}', ${after ? `'${after}'` : 'null'}, 100)`,
    );
  await admin.query('truncate plinth_jobs.jobs_failed');
  await fail(200);
  if (when === 'after') await admin.query('analyze plinth_jobs.jobs_failed');
  const few = await page(undefined);
  await fail(20_000);
  if (when === 'after') await admin.query('analyze plinth_jobs.jobs_failed');
  expect((await page(undefined)) - few).toBeLessThan(20);
  const { rows } = await admin.query<{ id: string }>('select id from plinth_jobs.jobs_failed order by id offset 15000 limit 1');
  expect((await page(rows[0]?.id)) - few).toBeLessThan(20);
});
