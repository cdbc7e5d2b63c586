/** What workers look at several times a second must not grow with pauses that are over, nor with the keys of one tenant that a rate holds back. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { pagesOf } from '#testing/pages.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('jobs_claims_plan');
  for (const tenantId of [database.tenantA, database.tenantB]) await database.plinth.transaction({ tenantId }, async (tx) => void tx.jobs.enqueue('k', {}));
});
afterAll(() => database.drop());

const LOOKS = {
  peek: 'select * from plinth_jobs.peek()',
  lanes: 'select * from plinth_jobs.lanes()',
  claim: `select * from plinth_jobs.claim('w', 10)`,
  heartbeat: `select * from plinth_jobs.heartbeat('w')`,
} as const;

const pages = async (): Promise<Record<string, number>> => {
  await database.plinth.asWorker({}, (tx) => tx.query(`select plinth_jobs.beat('w', interval '1 hour')`));
  await database.admin.query(`update plinth_jobs.workers set id = 'w'`);
  const read: Record<string, number> = {};
  for (const [name, text] of Object.entries(LOOKS)) read[name] = await pagesOf(database, { role: 'plinth_worker' }, text);
  return read;
};

/** Looks that read more than they did by this many pages. */
const grown = (after: Record<string, number>, before: Record<string, number>, by: number): [string, number][] =>
  Object.entries(after).filter(([name, read]) => read - (before[name] ?? 0) >= by);

test.each(['before', 'after'])('pauses that are over are not read again by every look and every claim, %s statistics are gathered', async (when) => {
  const before = await pages();
  await database.admin.query(
    `insert into plinth_jobs.pauses (tenant_id, source, queue, reason, created_at, ends_at)
     select $1, 'tenant', 'default', 'over', now() - interval '2 days', now() - interval '1 day' from generate_series(1, 20000) n`,
    [database.tenantB],
  );
  if (when === 'after') await database.admin.query('analyze plinth_jobs.pauses');
  expect(grown(await pages(), before, 40)).toEqual([]);
});

test('twenty thousand keys of a tenant that a rate holds back for a day cost others a bounded look, and leave them their jobs', async () => {
  const { admin, plinth, tenantA, tenantB } = database;
  await plinth.transaction({ tenantId: tenantB }, (tx) => tx.query(`select plinth.set_job_limit('key', p_rate => 1, p_rate_period => '1 day')`));
  const before = await pages();
  await admin.query(
    `insert into plinth_jobs.rates (tenant_id, scope, idle_at, next_at)
     select $1::uuid, 'key/t/' || $1::uuid || '/0//user' || n, now() + n * interval '4 seconds', now() + n * interval '4 seconds' from generate_series(1, 20000) n`,
    [tenantB],
  );
  await plinth.transaction({ tenantId: tenantB }, async (tx) => {
    for (let n = 1; n <= 1000; n++) tx.jobs.enqueue('k', {}, { concurrencyKey: `user${n}` });
  });
  expect(grown(await pages(), before, 6_000)).toEqual([]);
  const lanes = await plinth.asWorker({}, (tx) =>
    tx.query<{ tenant_id: string; concurrency_key: string }>('select tenant_id, concurrency_key from plinth_jobs.lanes()'),
  );
  expect(lanes.filter(({ concurrency_key: key }) => key !== '')).toEqual([]);
  expect(new Set(lanes.map((lane) => lane.tenant_id))).toEqual(new Set([tenantA, tenantB]));
});

test.each(['plinth_events.events', 'plinth_jobs.jobs'])('no sub-select stands in what row security adds to an insert into %s', async (table) => {
  // The server looks through the whole of a prepared statement in which one stands, or which a policy that has one was asked for, before each run.
  const { rows } = await database.admin.query<{ text: string }>(
    `select concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) as text from pg_policy where polrelid = $1::regclass and polcmd in ('a', '*')`,
    [table],
  );
  expect(rows.map(({ text }) => text)).toContain(`(tenant_id = (NULLIF(current_setting('plinth.tenant_id'::text, true), ''::text))::uuid)`);
  expect(rows.filter(({ text }) => /select/i.test(text))).toEqual([]);
});
