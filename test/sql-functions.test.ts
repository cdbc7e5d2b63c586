/** The typed wrappers of public SQL functions call what they say, with the function's own defaults, in the caller's transaction. */
import { Kysely, PostgresDialect } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, sqlFunctions } from '../packages/plinth/src/db.gen.ts';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('wrappers');
});
afterAll(() => database.drop());

const actor = { type: 'user' as const, id: 'ann' };

test('a scalar function takes named arguments, and leaves out what is not given', async () => {
  const { plinth, tenantA } = database;
  const entry = { action: 'order.created', resourceType: 'order', resourceId: '1', after: { lines: [1, 2] }, complianceFlags: ['soc2'] };
  const id = await plinth.transaction({ tenantId: tenantA, actor }, (tx) => sqlFunctions.logAuditEvent(tx, entry));
  const { rows } = await database.admin.query('select action, actor_id, after, compliance_flags from plinth.audit_logs where id = $1', [id]);
  expect(rows).toEqual([{ action: 'order.created', actor_id: 'ann', after: { lines: [1, 2] }, compliance_flags: ['soc2'] }]);
});

test('a function that returns rows returns rows, of this tenant only', async () => {
  const { plinth, tenantA, tenantB } = database;
  const history = (tenantId: string) => plinth.transaction({ tenantId, actor }, (tx) => sqlFunctions.auditHistory(tx, { entityType: 'order', entityId: '1' }));
  expect(await history(tenantA)).toMatchObject([{ action: 'order.created', entity_type: 'order' }]);
  expect(await history(tenantB)).toEqual([]);
});

test('a function that returns nothing returns nothing, and any client that runs a statement will do', async () => {
  await database.admin.query('create table public.parcels (tenant_id uuid, id text primary key, note text)');
  const client = {
    query: async <Row>(text: string, values?: readonly unknown[]) => (await database.admin.query(text, values ? [...values] : [])).rows as Row[],
  };
  expect(await sqlFunctions.auditTable(client, { table: 'public.parcels', redact: ['note'] })).toBeUndefined();
  const { rowCount } = await database.admin.query(`select from pg_trigger where tgrelid = 'public.parcels'::regclass`);
  expect(rowCount).toBeGreaterThan(0);
});

test('the database types fit Kysely', async () => {
  const { plinth, tenantA } = database;
  await plinth.transaction({ tenantId: tenantA, actor }, (tx) => sqlFunctions.logAuditEvent(tx, { action: 'order.paid' }));
  const typed = new Kysely<Database>({ dialect: new PostgresDialect({ pool: database.admin }) });
  const rows = await typed.selectFrom('plinth.audit_logs').select(['action', 'tenant_id']).where('action', '=', 'order.paid').execute();
  expect(rows).toEqual([{ action: 'order.paid', tenant_id: tenantA }]);
});

test('a span of time arrives as its type says, and can be given back', async () => {
  const { plinth, tenantA } = database;
  const typed = new Kysely<Database>({ dialect: new PostgresDialect({ pool: database.admin }) });
  const period = () => typed.selectFrom('plinth.job_limits').select('rate_period').where('tenant_id', '=', tenantA).executeTakeFirstOrThrow();
  const limit = (ratePeriod: Parameters<typeof sqlFunctions.setJobLimit>[1]['ratePeriod']) =>
    plinth.transaction({ tenantId: tenantA, actor }, (tx) => sqlFunctions.setJobLimit(tx, { per: 'tenant', rate: 5, ratePeriod }));
  await limit('90 seconds');
  const { rate_period } = await period();
  expect([rate_period?.minutes, rate_period?.seconds]).toEqual([1, 30]);
  await limit('1 minute');
  await limit(rate_period);
  expect((await period()).rate_period).toEqual(rate_period);
});

test('functions that forbid ways to read forbid compiling too: on PostgreSQL 15 to 17 a way that is forbidden and taken costs more than any compiling would', async () => {
  const settings = async (condition: string) =>
    (
      await database.admin.query<{ name: string }>(
        `select p.oid::regprocedure::text as name from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
         where n.nspname like 'plinth%' and exists (select from unnest(p.proconfig) as c where c ~ '^enable_.*=off$') and ${condition}`,
      )
    ).rows.map(({ name }) => name);
  expect((await settings('true')).length).toBeGreaterThan(5);
  expect(await settings(`not 'jit=off' = any (p.proconfig)`)).toEqual([]);
});
