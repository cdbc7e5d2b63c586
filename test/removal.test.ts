/** What the documentation says of removing Plinth, or a module of it, done as it stands there. */
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { examples } from '../examples/modules.ts';
import { migrateUp } from '../packages/plinth/src/kernel/migrate/index.ts';
import type { ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { emptyDatabase } from '../packages/plinth/src/testing/database.ts';

const database = await emptyDatabase('removal');
afterAll(() => database.drop());
const { admin, url } = database;

/** The block of SQL in a page that has these words. */
function blockOf(page: string, words: string): string {
  const text = readFileSync(new URL(`../docs/${page}`, import.meta.url), 'utf8');
  const found = [...text.matchAll(/```sql\n(.*?)```/gs)].map(([, sql]) => sql ?? '').filter((sql) => sql.includes(words));
  expect(found).toHaveLength(1);
  return found[0] ?? '';
}

const nameOf = async (text: string): Promise<unknown[]> => (await admin.query<{ name: string }>(text)).rows.map(({ name }) => name);
const whole: ModuleMap = { ...modules, ...examples };

test('a module is dropped with its schema, the rest goes on, and it can come again', async () => {
  await migrateUp({ url, modules: whole });
  await admin.query(blockOf('your-application.md', 'drop schema plinth_shop').replaceAll('shop', 'demo'));
  await admin.query('set role plinth_worker; select plinth_kernel.partition_premake(); reset role');
  await migrateUp({ url, modules });
  await admin.query(`select * from plinth.trace(gen_random_uuid())`);
  expect(await nameOf(`select kind as name from plinth_kernel.retention_kinds where kind like 'demo.%'`)).toEqual([]);
  expect((await migrateUp({ url, modules: whole })).applied).toEqual(expect.arrayContaining([expect.stringMatching(/^demo\//)]));
});

test('Plinth is removed, tables that were captured can be written to, and it can be installed again', async () => {
  await migrateUp({ url, modules, exposePublic: true });
  await admin.query(`create table orders (tenant_id uuid, id integer primary key); select plinth.audit_table('orders')`);
  await admin.query(blockOf('runbook.md', 'plinth.unaudit_table'));
  expect(await nameOf(`select nspname as name from pg_namespace where nspname like 'plinth%'`)).toEqual([]);
  expect(await nameOf(`select proname as name from pg_proc where pronamespace = 'public'::regnamespace`)).toEqual([]);
  expect(await nameOf(`select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')`)).toEqual(['orders']);
  await admin.query('insert into orders (id) values (1)');
  expect((await migrateUp({ url, modules })).repeatables).toBe(true);
});
