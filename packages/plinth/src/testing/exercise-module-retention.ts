import assert from 'node:assert/strict';
import type pg from 'pg';
import { literal } from '#kernel/database.ts';
import type { AnyModule, ModuleMap } from '#kernel/module.ts';
import { insertRow } from './exercise-module-rows.ts';

/** Retention removes exactly the old rows: what a kind promises is read from the database, where the kernel keeps it. */
export interface KindFacts {
  kind: string;
  table_name: string;
  tenancy: 'tenant' | 'global';
  method: 'partition' | 'delete';
  keep: string;
  every: 'month' | 'day' | null;
  age_column: string | null;
  condition: string | null;
}

/** Makes a row of the kind's own table: SQL expressions that win over the card's sample. Resolves to its place in the table. */
type AddRow = (fixed: Record<string, string>) => Promise<string>;

/** Where a row lies: good for as long as nobody updates it, whatever its key is. */
const place = `tableoid::text || '/' || ctid::text`;

async function kindOf(client: pg.Client, card: AnyModule, table: string): Promise<KindFacts> {
  const { rows } = await client.query<KindFacts>(
    'select kind, table_name, tenancy, method, keep::text, every, age_column, condition from plinth_kernel.retention_kinds where kind = $1',
    [`${card.name}.${table}`],
  );
  const [facts] = rows;
  assert.ok(facts, `the database knows nothing of the retention of ${card.name}.${table}`);
  return facts;
}

/**
 * Puts old and young rows into the table, lets retention do what it plans, and looks at what is left. Everything happens in one
 * transaction that the caller rolls back. The connection acts as the owner and comes back as the owner.
 */
export async function exerciseRetention(client: pg.Client, modules: ModuleMap, card: AnyModule, table: string, tenantId: string): Promise<void> {
  const facts = await kindOf(client, card, table);
  const [schema = '', name = ''] = facts.table_name.split('.');
  const bound = await listBound(client, facts.table_name);
  const add: AddRow = async (fixed) => {
    const row = await insertRow(client, modules, schema, name, { tenantId, fixed: { ...bound, ...fixed }, sampleOf: table }, `${place} as row_place`);
    return String(row.row_place);
  };
  if (facts.method === 'delete') await exerciseSweep(client, facts, add);
  else await exercisePartitions(client, facts, tenantId, add);
}

/** The value that leads into a LIST partition, so that rows can be put into that part of a table which ages. */
async function listBound(client: pg.Client, table: string): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; bound: string }>(
    `select a.attname as name, pg_get_expr(c.relpartbound, c.oid) as bound
     from pg_class c join pg_inherits i on i.inhrelid = c.oid join pg_partitioned_table p on p.partrelid = i.inhparent and p.partstrat = 'l'
     join pg_attribute a on a.attrelid = i.inhparent and a.attnum = p.partattrs[0] where c.oid = $1::regclass`,
    [table],
  );
  const [found] = rows;
  const value = found ? /IN \((.+?)[,)]/.exec(found.bound)?.[1] : undefined;
  return found && value ? { [found.name]: value } : {};
}

/** Columns that make a condition of the forms `a in ('x', ...)`, `a = 'x'` and `a is not null` true. */
function meeting(condition: string | null): Record<string, string> {
  const fixed: Record<string, string> = {};
  for (const part of (condition ?? '').split(/\s+and\s+/i)) {
    const match = /^\(?\s*([a-z_]+)\s*(?:=\s*|in\s*\(\s*)('(?:[^']|'')*'|true|false|\d+)/i.exec(part);
    if (match) fixed[match[1] ?? ''] = match[2] ?? '';
  }
  return fixed;
}

/** Which of these rows are still there. */
const stillIn = async (client: pg.Client, table: string, places: readonly string[]): Promise<string[]> => {
  const { rows } = await client.query<{ place: string }>(`select ${place} as place from ${table} where ${place} = any ($1) order by 1`, [places]);
  return rows.map((row) => row.place);
};

async function exerciseSweep(client: pg.Client, facts: KindFacts, add: AddRow): Promise<void> {
  const keep = `interval ${literal(facts.keep)}`;
  const age = facts.age_column ?? '';
  const fixed = meeting(facts.condition);
  const old = await add({ ...fixed, [age]: `now() - ${keep} - interval '1 hour'` });
  const young = await add({ ...fixed, [age]: `now() - ${keep} + interval '1 hour'` });
  assert.equal((await stillIn(client, facts.table_name, [old, young])).length, 2, `${facts.kind}: the rows to judge were not written`);
  await client.query('set local role plinth_worker');
  const { rows } = await client.query<{ deleted: number }>('select plinth_kernel.retention_sweep($1) as deleted', [facts.kind]);
  await client.query('set local role plinth_owner');
  assert.ok((rows[0]?.deleted ?? 0) > 0, `${facts.kind}: nothing was swept`);
  const left = await stillIn(client, facts.table_name, [old, young]);
  assert.ok(!left.includes(old), `${facts.kind}: a row past its time was kept`);
  assert.ok(left.includes(young), `${facts.kind}: a row within its time was removed`);
}

/** The column by whose uuid v7 the rows are spread over partitions: id, or the id of what ended them. */
async function rangeColumn(client: pg.Client, table: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    'select a.attname as name from pg_partitioned_table p join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0] where p.partrelid = $1::regclass',
    [table],
  );
  const [found] = rows;
  assert.ok(found, `${table} is not partitioned`);
  return found.name;
}

/** A uuid v7 of this moment: the time of the moment, the rest of a new id. */
const idAt = (moment: string): string => `overlay(plinth_kernel.uuid_v7()::text placing left(plinth_kernel.v7_floor(${moment})::text, 13) from 1 for 13)::uuid`;

async function exercisePartitions(client: pg.Client, facts: KindFacts, tenantId: string, add: AddRow): Promise<void> {
  const every = facts.every ?? 'month';
  const table = facts.table_name;
  // Without the mark of a policy that is being changed: sweeps would leave all rows alone until the transaction ends.
  await client.query('alter table plinth_kernel.retention_policies disable trigger changing');
  // Without an archive: that the archive is read back before the drop is tested with the storage adapter, by module maintenance.
  await client.query(
    `insert into plinth_kernel.retention_policies (tenant_id, kind, keep, archive) values ('00000000-0000-0000-0000-000000000000', $1, $2::interval, false)
     on conflict (tenant_id, kind) do update set keep = excluded.keep, archive = false`,
    [facts.kind, facts.keep],
  );
  // Nor with readers that have still to come: that unread rows stay is tested with the feed.
  await client.query('delete from plinth_kernel.feed_cursors');
  const wholePeriodsAgo = `(now() - interval ${literal(facts.keep)} - interval '2 ${every}')`;
  const atTheEdge = `(now() - interval ${literal(facts.keep)} + interval '1 hour')`;
  for (const moment of [wholePeriodsAgo, atTheEdge]) await client.query(`select plinth_kernel.partition_make($1::regclass, $2, ${moment})`, [table, every]);
  const column = await rangeColumn(client, table);
  const madeAt = (moment: string): Record<string, string> => ({ id: idAt(moment), [column]: idAt(moment) });
  const old = await add(madeAt(wholePeriodsAgo));
  const edge = await add(madeAt(atTheEdge));
  const young = await add({});
  await client.query('set local role plinth_worker');
  const { rows: lines } = await client.query<{ action: string; target: string; reason: string | null }>(
    'select action, target, reason from plinth_kernel.retention_plan(array[$1])',
    [facts.kind],
  );
  const plan = lines.filter(({ action }) => action === 'drop');
  const told = lines.map(({ action, target, reason }) => `${action} ${target}${reason ? ` (${reason})` : ''}`).join(', ') || 'nothing';
  assert.equal(plan.length, 1, `${facts.kind}: retention plans ${told}, instead of dropping the one old partition`);
  const { rows: begun } = await client.query<{ id: string }>('select plinth_kernel.partition_begin($1, $2) as id', [facts.kind, plan[0]?.target]);
  const id = begun[0]?.id;
  await client.query('select plinth_kernel.partition_detach($1, true)', [id]);
  const { rows: dropped } = await client.query<{ kept: string | null }>('select plinth_kernel.partition_drop($1) as kept', [id]);
  assert.equal(dropped[0]?.kept ?? null, null);
  await client.query('set local role plinth_owner');
  const left = await stillIn(client, table, [old, edge, young]);
  assert.deepEqual(left, [edge, young].sort(), `${facts.kind}: other rows are left than those within their time`);
  if (facts.tenancy === 'tenant') await exerciseOwnPolicy(client, facts, tenantId, (moment) => add(madeAt(moment)));
}

/** A tenant that keeps its rows for a shorter time than the others loses them by deletes. */
async function exerciseOwnPolicy(client: pg.Client, facts: KindFacts, tenantId: string, add: (moment: string) => Promise<string>): Promise<void> {
  const daysAgo = `(now() - interval '3 days')`;
  await client.query(`select plinth_kernel.partition_make($1::regclass, $2, ${daysAgo})`, [facts.table_name, facts.every]);
  await client.query(`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, $2, '2 days')`, [tenantId, facts.kind]);
  const old = await add(daysAgo);
  const young = await add('now()');
  await client.query('set local role plinth_worker');
  await client.query('select plinth_kernel.retention_sweep($1, $2)', [facts.kind, tenantId]);
  await client.query('set local role plinth_owner');
  assert.deepEqual(await stillIn(client, facts.table_name, [old, young]), [young], `${facts.kind}: a tenant that keeps its rows for two days has others`);
}
