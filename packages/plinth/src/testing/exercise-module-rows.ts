import type pg from 'pg';
import { identifier, literal } from '#kernel/database.ts';
import type { AnyModule, ModuleMap } from '#kernel/module.ts';

/**
 * Makes valid rows for any table from its column types, checks and foreign keys, so that one contract test serves all
 * modules. Where types alone do not make a valid row, the card's `sample` gives SQL expressions.
 */

interface ColumnFacts {
  name: string;
  type: string;
  required: boolean;
  check: string | null;
}

interface ForeignKey {
  schema: string;
  table: string;
  columns: string[];
  parentColumns: string[];
}

const columnsSql = `
  select a.attname as name, format_type(a.atttypid, null) as type,
    a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = '' as required,
    (select string_agg(pg_get_constraintdef(k.oid), ' ') from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'c' and a.attnum = any (k.conkey)) as "check"
  from pg_attribute a where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`;

const foreignKeysSql = `
  select n.nspname as schema, c.relname as table,
    array(select a.attname::text from unnest(k.conkey) with ordinality u(num, i) join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num order by u.i) as columns,
    array(select a.attname::text from unnest(k.confkey) with ordinality u(num, i) join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num order by u.i) as "parentColumns"
  from pg_constraint k join pg_class c on c.oid = k.confrelid join pg_namespace n on n.oid = c.relnamespace
  where k.conrelid = $1::regclass and k.contype = 'f' and k.conparentid = 0 order by k.conname`;

const byType: Record<string, string> = {
  uuid: 'plinth_kernel.uuid_v7()',
  smallint: '1',
  integer: '1',
  bigint: '1',
  numeric: '1',
  real: '1',
  'double precision': '1',
  boolean: 'false',
  json: `'{}'`,
  jsonb: `'{}'`,
  'timestamp with time zone': 'clock_timestamp()',
  date: 'current_date',
  interval: `interval '1 day'`,
  bytea: `'\\x00'`,
  inet: `'127.0.0.1'`,
  xid8: 'pg_current_xact_id()',
  pg_snapshot: 'pg_current_snapshot()',
  regclass: `'pg_class'`,
  regproc: `'now'`,
  tstzrange: `tstzrange(now(), null)`,
};

/** An SQL expression for a required column: the first value a check allows, else the simplest of its type. */
function expressionFor(column: ColumnFacts): string {
  const allowed = column.check ? new RegExp(`\\(?${column.name}\\)?(?:::text)? = ANY \\(\\(?ARRAY\\['((?:[^']|'')*)'`).exec(column.check)?.[1] : undefined;
  if (allowed !== undefined) return `'${allowed}'`;
  if (column.type.endsWith('[]')) return `'{}'`;
  return byType[column.type] ?? `'sample_' || left(md5(random()::text), 8)`;
}

export interface RowWish {
  tenantId: string;
  /** SQL expressions that win over the card's sample. */
  fixed?: Record<string, string>;
  /** Table of the card whose sample is used. Default: the table itself; another one when this is a partition of it. */
  sampleOf?: string;
}

/**
 * Inserts one row into plinth_<module>.<table> and returns it; rows that its foreign keys need are inserted first.
 * The connection must be in a transaction and act as the owner. Errors: an Error that names the table and the way out.
 */
export async function insertRow(client: pg.Client, modules: ModuleMap, schema: string, table: string, wish: RowWish): Promise<Record<string, unknown>> {
  if (schema === 'plinth_kernel' && table === 'tenants') return { id: wish.tenantId };
  const name = `${identifier(schema)}.${identifier(table)}`;
  const { rows: columns } = await client.query<ColumnFacts>(columnsSql, [name]);
  const expressions: Record<string, string> = { ...cardOf(modules, schema)?.tables[wish.sampleOf ?? table]?.sample, ...wish.fixed };
  if (columns.some((column) => column.name === 'tenant_id')) expressions.tenant_id = `${literal(wish.tenantId)}::uuid`;
  await addParents(client, modules, name, wish, expressions, columns);
  for (const column of columns) if (column.required) expressions[column.name] ??= expressionFor(column);
  const names = Object.keys(expressions);
  const text = `insert into ${name} (${names.map(identifier).join(', ')}) values (${names.map((one) => expressions[one]).join(', ')}) returning *`;
  try {
    const { rows } = await client.query<Record<string, unknown>>(text);
    const [row] = rows;
    if (!row) throw new Error('the insert returned no row');
    return row;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`no valid row of ${schema}.${table} could be made (${reason}): give the columns it needs a "sample" on the card\n${text}`, {
      cause: error,
    });
  }
}

const cardOf = (modules: ModuleMap, schema: string): AnyModule | undefined => Object.values(modules).find((card) => `plinth_${card.name}` === schema);

async function addParents(
  client: pg.Client,
  modules: ModuleMap,
  name: string,
  wish: RowWish,
  expressions: Record<string, string>,
  columns: readonly ColumnFacts[],
): Promise<void> {
  const { rows: keys } = await client.query<ForeignKey>(foreignKeysSql, [name]);
  for (const key of keys) {
    const needed = key.columns.some((column) => columns.some((facts) => facts.name === column && facts.required));
    const given = key.columns.every((column) => column in expressions);
    if (!needed || given) continue;
    const parent = await insertRow(client, modules, key.schema, key.table, { tenantId: wish.tenantId });
    key.columns.forEach((column, index) => {
      expressions[column] ??= literal(String(parent[key.parentColumns[index] ?? '']));
    });
  }
}
