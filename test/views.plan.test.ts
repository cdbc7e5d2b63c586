/** What a list reads must not grow with the tables behind its view. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('views_plan');
});
afterAll(() => database.drop());

test('no view calls what is volatile: the planner would read all of it, and sort it, before it looks at what was asked', async () => {
  const { rows } = await database.admin.query<{ name: string; text: string; calls: string[] }>(
    `select format('%I.%I', n.nspname, c.relname) as name, pg_get_viewdef(c.oid) as text,
       array(select distinct p.oid::regprocedure::text from pg_rewrite r
         join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_proc'::regclass
         join pg_proc p on p.oid = d.refobjid and p.provolatile = 'v' where r.ev_class = c.oid) as calls
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'v' and n.nspname ~ '^plinth'`,
  );
  expect(rows.length).toBeGreaterThan(30);
  // No dependency is kept of a function that belongs to the server.
  const { rows: builtIn } = await database.admin.query<{ name: string }>(
    `select distinct proname as name from pg_proc where provolatile = 'v' and pronamespace = 'pg_catalog'::regnamespace and proname in
       ('clock_timestamp', 'timeofday', 'random', 'gen_random_uuid', 'uuidv7', 'nextval', 'currval', 'setval', 'set_config')`,
  );
  expect(builtIn.length).toBeGreaterThan(5);
  const volatile = new RegExp(`\\b(${builtIn.map(({ name }) => name).join('|')})\\(`, 'i');
  expect(rows.filter(({ text, calls }) => volatile.test(text) || calls.length > 0).map(({ name, calls }) => ({ name, calls }))).toEqual([]);
});
