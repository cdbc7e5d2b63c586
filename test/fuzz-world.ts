/** A row of tenant A in every table of every module, what it would look like if it leaked, and whether anything of it changed. */
import type pg from 'pg';
import { identifier, literal } from '../packages/plinth/src/kernel/database.ts';
import type { ModuleMap } from '../packages/plinth/src/kernel/module.ts';
import { insertRow } from '../packages/plinth/src/testing/exercise-module-rows.ts';

export interface World {
  /** Ids of rows of A, one and more for each table. */
  ids: string[];
  /** Values of A by the name of their column. */
  byColumn: Map<string, string[]>;
  /** Values that cannot turn up anywhere by chance. */
  secrets: Set<string>;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MADE_UP = /^sample_[0-9a-f]{8}$/;

/** Puts a row of the tenant into every tenant table of the cards, and collects what is in them. */
export async function populate(client: pg.Client, modules: ModuleMap, tenantId: string): Promise<World> {
  const world: World = { ids: [], byColumn: new Map(), secrets: new Set() };
  await client.query('begin');
  await client.query('set local role plinth_owner');
  await client.query(`set local plinth.tenant_id = ${literal(tenantId)}; set local plinth.correlation_id = ${literal(crypto.randomUUID())}`);
  for (const card of Object.values(modules)) {
    for (const [table, tableCard] of Object.entries(card.tables)) {
      if (tableCard.tenancy === 'tenant') await insertRow(client, modules, `plinth_${card.name}`, table, { tenantId });
    }
  }
  await client.query('commit');
  for (const row of await rowsOf(client, modules, tenantId, true)) collect(world, row);
  // What B may know anyway (who made its key) is no secret of A.
  for (const row of await rowsOf(client, modules, tenantId, false))
    for (const value of Object.values(row)) if (typeof value === 'string') world.secrets.delete(value);
  world.secrets.add(tenantId);
  return world;
}

/** Rows of the tenant in every table of the cards, or those of the others. */
async function rowsOf(client: pg.Client, modules: ModuleMap, tenantId: string, own: boolean): Promise<Record<string, unknown>[]> {
  const all: Record<string, unknown>[] = [];
  for (const card of Object.values(modules)) {
    for (const [table, tableCard] of Object.entries(card.tables)) {
      if (tableCard.tenancy !== 'tenant') continue;
      const name = `${identifier(`plinth_${card.name}`)}.${identifier(table)}`;
      all.push(...(await client.query<Record<string, unknown>>(`select * from ${name} where tenant_id ${own ? '=' : '<>'} $1 limit 50`, [tenantId])).rows);
    }
  }
  return all;
}

function collect(world: World, row: Record<string, unknown>): void {
  for (const [column, value] of Object.entries(row)) {
    if (typeof value !== 'string' || value === '' || column === 'tenant_id') continue;
    world.byColumn.set(column, [...new Set([...(world.byColumn.get(column) ?? []), value])]);
    if (column === 'id') world.ids.push(value);
    if (UUID.test(value) || MADE_UP.test(value)) world.secrets.add(value);
  }
}

/** Tables of the modules and of the kernel, and whether their rows name a tenant. */
async function tablesOf(client: pg.Client): Promise<{ name: string; scoped: boolean }[]> {
  const { rows } = await client.query<{ name: string; scoped: boolean }>(
    `select format('%I.%I', n.nspname, c.relname) as name, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped) as scoped
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname like 'plinth\\_%' and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
  );
  return rows;
}

/** A fingerprint of everything that is not tenant B's: A's rows, and what belongs to the installation. */
export async function fingerprint(client: pg.Client, tenantB: string): Promise<Record<string, string>> {
  const tables = await tablesOf(client);
  const marks = tables.map(({ name, scoped }) => {
    const where = scoped ? 'tenant_id is distinct from $1' : name === 'plinth_kernel.tenants' ? 'id <> $1' : '$1::uuid is not null';
    return `select ${literal(name)} as name, count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' order by t::text)), '') as mark from ${name} t where ${where}`;
  });
  const { rows } = await client.query<{ name: string; mark: string }>(marks.join(' union all '), [tenantB]);
  return Object.fromEntries(rows.map(({ name, mark }) => [name, mark]));
}

/** Takes away what B wrote, so that what it was told to write is not taken for a leak later. Keys made before `since` stay. */
export async function forget(client: pg.Client, tenantB: string, since: Date): Promise<void> {
  const tables = (await tablesOf(client)).filter(({ scoped }) => scoped);
  const old = (name: string): string => (name === 'plinth_access.api_keys' ? ` and created_at > ${literal(since.toISOString())}` : '');
  // Without triggers: append-only tables and foreign keys have nothing to say about it.
  const statements = tables.map(({ name }) => `delete from ${name} where tenant_id = ${literal(tenantB)}${old(name)}`);
  await client.query(`begin; set local session_replication_role = replica; ${statements.join('; ')}; commit`);
}
