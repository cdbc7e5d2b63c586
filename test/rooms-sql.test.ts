/**
 * The rooms as the database sees them: what functions, views, keys, defaults and triggers depend on, from pg_depend, must be
 * what the cards' `uses` allow. It sees through TypeScript and text; the bodies of plpgsql functions are text to PostgreSQL, so
 * for them the source is read.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';
import { publicOwners } from '../tools/checks/rooms.ts';
import { read, repositoryFiles, root } from '../tools/repo.ts';

const all: ModuleMap = modules;
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('rooms');
});
afterAll(() => database.drop());

/** Every object with its schema, so that both ends of a dependency can be named. A view depends through its rule, a default through itself. */
const graphSql = `
  with placed as (
    select 'pg_class'::regclass as catalog, c.oid, c.relnamespace as schema, c.relname::text as name from pg_class c
    union all select 'pg_proc'::regclass, p.oid, p.pronamespace, p.proname from pg_proc p
    union all select 'pg_constraint'::regclass, k.oid, k.connamespace, k.conname from pg_constraint k
    union all select 'pg_type'::regclass, t.oid, t.typnamespace, t.typname from pg_type t
    union all select 'pg_rewrite'::regclass, r.oid, c.relnamespace, c.relname from pg_rewrite r join pg_class c on c.oid = r.ev_class
    union all select 'pg_trigger'::regclass, t.oid, c.relnamespace, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal
    union all select 'pg_attrdef'::regclass, a.oid, c.relnamespace, c.relname from pg_attrdef a join pg_class c on c.oid = a.adrelid
    union all select 'pg_policy'::regclass, p.oid, c.relnamespace, p.polname from pg_policy p join pg_class c on c.oid = p.polrelid)
  select distinct f.nspname as "from", t.nspname as "to", a.name as "fromName", b.name as "toName", format('%s.%s needs %s.%s', f.nspname, a.name, t.nspname, b.name) as because
  from pg_depend d
  join placed a on a.catalog = d.classid and a.oid = d.objid join pg_namespace f on f.oid = a.schema
  join placed b on b.catalog = d.refclassid and b.oid = d.refobjid join pg_namespace t on t.oid = b.schema
  where f.nspname like 'plinth%' and t.nspname like 'plinth%' and f.nspname <> t.nspname`;

type Edge = { from: string; to: string; fromName: string; toName: string; because: string };

/** Catalogs that were never analyzed look small to the planner, and nested loops over them took 14 s instead of 0.03. */
async function graph(pool: pg.Pool): Promise<Edge[]> {
  const client = await pool.connect();
  try {
    await client.query('begin; set local enable_nestloop = off');
    return (await client.query<Edge>(graphSql)).rows;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const owners = publicOwners(repositoryFiles(root), read);

/** The module, or kernel, that an object belongs to; undefined for public objects that the kernel derives from all cards. */
const ownerOf = (schema: string, name: string): string | undefined => (schema === 'plinth' ? owners.get(name) : schema.slice('plinth_'.length));

/** Edges that no card allows. */
function forbidden(edges: readonly Edge[]): string[] {
  return edges
    .filter((edge) => {
      const from = ownerOf(edge.from, edge.fromName);
      const to = ownerOf(edge.to, edge.toName);
      return !(from === undefined || to === undefined || to === 'kernel' || from === to || all[from]?.uses?.includes(to));
    })
    .map(({ because }) => because);
}

test('modules depend only on the kernel and on what their cards use', async () => {
  const edges = await graph(database.admin);
  expect(edges.length, 'looked at nothing').toBeGreaterThan(5);
  expect(forbidden(edges)).toEqual([]);
});

test('a function that reaches into another module is found', async () => {
  const [name = ''] = Object.keys(all);
  const table = Object.keys(all[name]?.tables ?? {})[0];
  await database.admin.query(`create schema plinth_planted`);
  await database.admin.query(
    `create function plinth_planted.peek() returns bigint language sql begin atomic select count(*) from plinth_${name}.${table}; end`,
  );
  try {
    expect(forbidden(await graph(database.admin))).toEqual([`plinth_planted.peek needs plinth_${name}.${table}`]);
  } finally {
    await database.admin.query('drop schema plinth_planted cascade');
  }
});

test('bodies of plpgsql functions name only the kernel and what the card uses', async () => {
  const { rows } = await database.admin.query<{ schema: string; name: string; body: string }>(
    `select n.nspname as schema, p.proname as name, p.prosrc as body from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     join pg_language l on l.oid = p.prolang where n.nspname like 'plinth\\_%' and l.lanname = 'plpgsql'`,
  );
  expect(rows.length, 'looked at nothing').toBeGreaterThan(0);
  const faults = rows.flatMap(({ schema, name, body }) => {
    const owner = schema.slice('plinth_'.length);
    return [...body.matchAll(/\bplinth_([a-z0-9_]+)\s*\./g)]
      .map((match) => match[1] ?? '')
      .filter((used) => used in all && used !== owner && !all[owner]?.uses?.includes(used))
      .map((used) => `${schema}.${name} names plinth_${used}`);
  });
  expect(faults).toEqual([]);
});
