/** Reads what a migrated database offers: tables, views and functions of Plinth's schemas, with their comments. */
import type pg from 'pg';

export type Column = { name: string; type: string; nullable: boolean; hasDefault: boolean; generated: boolean; comment: string | null };
export type Relation = { schema: string; name: string; kind: 'table' | 'view'; comment: string | null; columns: Column[] };
export type Parameter = { name: string; type: string; optional: boolean };
export type SqlFunction = {
  schema: string;
  name: string;
  parameters: Parameter[];
  /** Columns of `returns table` or of out parameters; empty for a scalar or a named row type. */
  columns: { name: string; type: string }[];
  returns: string;
  returnsSet: boolean;
  comment: string | null;
  /** The signature as PostgreSQL writes it, for the lock file. */
  signature: string;
};

const relationsSql = `
  select n.nspname as schema, c.relname as name, case c.relkind when 'v' then 'view' else 'table' end as kind,
    obj_description(c.oid, 'pg_class') as comment, r.ev_action::text as query,
    json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notnull', a.attnotnull,
      'has_default', a.atthasdef, 'identity', a.attidentity <> '', 'generated', a.attgenerated <> '',
      'comment', col_description(c.oid, a.attnum)) order by a.attnum) as columns
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
  where (n.nspname = 'plinth' or n.nspname like 'plinth\\_%') and c.relkind in ('r', 'p', 'v') and not c.relispartition
  group by n.nspname, c.relname, c.relkind, c.oid, r.ev_action
  order by n.nspname = 'plinth' desc, n.nspname, c.relname`;

type RelationRow = {
  schema: string;
  name: string;
  kind: 'table' | 'view';
  comment: string | null;
  query: string | null;
  columns: { name: string; type: string; notnull: boolean; has_default: boolean; identity: boolean; generated: boolean; comment: string | null }[];
};

/** Base columns that can never be null, as `oid.number`. */
const notNullSql = `
  select format('%s.%s', a.attrelid, a.attnum) as column
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname like 'plinth\\_%' and a.attnotnull and a.attnum > 0`;

/**
 * Names of a view's columns that can never be null: those that come straight from a not-null column, where the view has no
 * outer join. PostgreSQL keeps no such fact for views, but the stored query names the origin of each column; its outermost
 * target list stands last.
 */
function neverNull(query: string, notNull: ReadonlySet<string>): Set<string> {
  const safe = new Set<string>();
  if (/:jointype [1-9]/.test(query)) return safe;
  for (const match of query.matchAll(/:resname (\S+) :ressortgroupref \d+ :resorigtbl (\d+) :resorigcol (\d+)/g)) {
    const [, name = '', table, column] = match;
    if (notNull.has(`${table}.${column}`)) safe.add(name);
    else safe.delete(name);
  }
  return safe;
}

/** Tables and views of schema plinth and of the modules' schemas; partitions are left out. */
export async function readRelations(client: pg.Client): Promise<Relation[]> {
  const { rows } = await client.query<RelationRow>(relationsSql);
  const notNull = new Set((await client.query<{ column: string }>(notNullSql)).rows.map((row) => row.column));
  return rows.map((row) => {
    const safe = row.query ? neverNull(row.query, notNull) : undefined;
    return {
      schema: row.schema,
      name: row.name,
      kind: row.kind,
      comment: row.comment,
      columns: row.columns.map((column) => ({
        name: column.name,
        type: column.type,
        nullable: safe ? !safe.has(column.name) : !column.notnull,
        hasDefault: column.has_default || column.identity,
        generated: column.generated,
        comment: column.comment,
      })),
    };
  });
}

const functionsSql = `
  select n.nspname as schema, p.proname as name, obj_description(p.oid, 'pg_proc') as comment, p.proretset as set,
    format_type(p.prorettype, null) as returns, p.pronargdefaults as defaults,
    coalesce(p.proargnames, '{}') as names, coalesce(p.proargmodes::text[], '{}') as modes,
    array(select format_type(t, null) from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality u(t, i) order by i) as types,
    format('function %I.%I(%s) returns %s', n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) as signature
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'plinth' and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  order by p.proname, signature`;

type FunctionRow = {
  schema: string;
  name: string;
  comment: string | null;
  set: boolean;
  returns: string;
  defaults: number;
  names: string[];
  modes: string[];
  types: string[];
  signature: string;
};

/** Functions of schema plinth. */
export async function readFunctions(client: pg.Client): Promise<SqlFunction[]> {
  const { rows } = await client.query<FunctionRow>(functionsSql);
  return rows.map((row) => {
    const all = row.types.map((type, index) => ({ name: row.names[index] ?? '', type, mode: row.modes[index] ?? 'i' }));
    const inputs = all.filter(({ mode }) => ['i', 'b', 'v'].includes(mode));
    const firstOptional = inputs.length - row.defaults;
    return {
      schema: row.schema,
      name: row.name,
      comment: row.comment,
      returns: row.returns,
      returnsSet: row.set,
      signature: row.signature,
      parameters: inputs.map(({ name, type }, index) => ({ name, type, optional: index >= firstOptional })),
      columns: all.filter(({ mode }) => ['t', 'o', 'b'].includes(mode)).map(({ name, type }) => ({ name, type })),
    };
  });
}
