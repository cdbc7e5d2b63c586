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
  select a.attname as name, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null) as type,
    (a.attnotnull or t.typnotnull) and not a.atthasdef and a.attidentity = '' and a.attgenerated = '' as required,
    (select string_agg(replace(pg_get_constraintdef(k.oid), 'VALUE', a.attname), ' ') from pg_constraint k
      where k.contype = 'c' and ((k.conrelid = a.attrelid and a.attnum = any (k.conkey)) or k.contypid = t.oid)) as "check"
  from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`;

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
  const length = column.check ? new RegExp(`length\\(${column.name}\\) = (\\d+)`).exec(column.check)?.[1] : undefined;
  if (length && column.type === 'bytea') return `substring(sha256(convert_to(random()::text, 'UTF8')) from 1 for ${length})`;
  if (length && column.type === 'text') return `left(md5(random()::text) || md5(random()::text), ${length})`;
  if (column.type.endsWith('[]')) {
    const element = column.type.slice(0, -2);
    const needsOne = column.check?.includes(`cardinality(${column.name}) >= 1`);
    return needsOne ? `array[${byType[element] ?? `'sample'`}]::${column.type}` : `'{}'`;
  }
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
 * The statement that inserts one row into a table of a module, without running it; rows that its foreign keys need are inserted
 * first. The connection must be in a transaction and act as the owner.
 */
export async function insertStatement(client: pg.Client, modules: ModuleMap, schema: string, table: string, wish: RowWish): Promise<string> {
  const name = `${identifier(schema)}.${identifier(table)}`;
  const { rows: columns } = await client.query<ColumnFacts>(columnsSql, [name]);
  const expressions: Record<string, string> = { ...cardOf(modules, schema)?.tables[wish.sampleOf ?? table]?.sample, ...wish.fixed };
  if (columns.some((column) => column.name === 'tenant_id')) expressions.tenant_id = 'given.tenant_id';
  await addParents(client, modules, name, wish, expressions, columns);
  for (const column of columns) if (column.required) expressions[column.name] ??= expressionFor(column);
  const names = Object.keys(expressions);
  // As a select, so that a sample may speak of the row's tenant_id.
  return `insert into ${name} (${names.map(identifier).join(', ')}) select ${names.map((one) => expressions[one]).join(', ')} from (select ${literal(wish.tenantId)}::uuid as tenant_id) as given`;
}

/** Inserts one row and returns it, or what `returning` says of it. Errors: an Error that names the table and the way out. */
export async function insertRow(
  client: pg.Client,
  modules: ModuleMap,
  schema: string,
  table: string,
  wish: RowWish,
  returning = '*',
): Promise<Record<string, unknown>> {
  if (schema === 'plinth_kernel' && table === 'tenants') return { id: wish.tenantId };
  const text = await insertStatement(client, modules, schema, table, wish);
  try {
    const { rows } = await client.query<Record<string, unknown>>(`${text} returning ${returning}`);
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
