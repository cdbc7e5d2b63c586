import { createHash } from 'node:crypto';
import type { Queryable } from './database.ts';
import { identifier, literal } from './database.ts';
import { fail } from './errors.ts';
import { quoted } from './projection.ts';

/**
 * Tables made beside others, compared with them and put in their places. `LIKE ... INCLUDING ALL` leaves out who owns a table, who may do what, its
 * row security, foreign keys and triggers; all of these are taken over, so that nobody can tell the new table from the old one.
 */

export interface TableComparison {
  table: string;
  rows: number;
  shadowRows: number;
  equal: boolean;
  /** Up to ten rows that only one of them has, when they are not equal. */
  onlyLive: unknown[];
  onlyShadow: unknown[];
}

const LONGEST_NAME = 63;

/** `shop.order_totals` -> `shop.order_totals__shadow`; long names are cut and told apart by a hash. */
export function shadowOf(table: string): string {
  const [schema = '', name = ''] = table.split('.');
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${schema}.${name.length <= LONGEST_NAME - '__shadow'.length ? name : `${name.slice(0, LONGEST_NAME - 17)}_${hash}`}__shadow`;
}

interface Facts {
  kind: string;
  owner: string;
  rls: boolean;
  force: boolean;
  options: string[] | null;
  comment: string | null;
}

const FACTS = `select c.relkind::text as kind, pg_get_userbyid(c.relowner) as owner, c.relrowsecurity as rls, c.relforcerowsecurity as force, c.reloptions as options,
  obj_description(c.oid, 'pg_class') as comment from pg_class as c where c.oid = to_regclass($1)`;

/** Grants, those of columns too, foreign keys and policies, as statements about a table called @table. */
const TAKEN_OVER = `
  select format('grant %s on @table to %s%s', a.privilege_type, case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
    case when a.is_grantable then ' with grant option' else '' end) as statement
  from pg_class as c, aclexplode(c.relacl) as a where c.oid = $1::regclass and a.grantee <> c.relowner
  union all
  select format('grant %s (%I) on @table to %s%s', a.privilege_type, t.attname, case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
    case when a.is_grantable then ' with grant option' else '' end)
  from pg_attribute as t, aclexplode(t.attacl) as a where t.attrelid = $1::regclass and t.attnum > 0 and not t.attisdropped
  union all
  select format('alter table @table add constraint %I %s', k.conname, pg_get_constraintdef(k.oid)) from pg_constraint as k where k.conrelid = $1::regclass and k.contype = 'f'
  union all
  select format('create policy %I on @table as %s for %s to %s%s%s', p.polname, case when p.polpermissive then 'permissive' else 'restrictive' end,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    (select string_agg(case r when 0 then 'public' else quote_ident(pg_get_userbyid(r)) end, ', ') from unnest(p.polroles) as r),
    ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
  from pg_policy as p where p.polrelid = $1::regclass`;

/** Makes an empty table like another, which nobody can tell from it but by its name and its triggers. Errors: kernel_projection_invalid. */
export async function createShadow(owner: Queryable, table: string): Promise<string> {
  const [facts] = await owner.query<Facts>(FACTS, [quoted(table)]);
  if (facts?.kind !== 'r') throw fail('projection_invalid', { message: `${table} is not a plain table of this database`, detail: { table } });
  const shadow = shadowOf(table);
  const name = quoted(shadow);
  await owner.query(`drop table if exists ${name}`);
  await owner.query(`create table ${name} (like ${quoted(table)} including all)`);
  for (const { statement } of await owner.query<{ statement: string }>(TAKEN_OVER, [quoted(table)])) await owner.query(statement.replaceAll('@table', name));
  if (facts.options?.length) await owner.query(`alter table ${name} set (${facts.options.join(', ')})`);
  if (facts.comment) await owner.query(`comment on table ${name} is ${literal(facts.comment)}`);
  if (facts.rls) await owner.query(`alter table ${name} enable row level security`);
  if (facts.force) await owner.query(`alter table ${name} force row level security`);
  await owner.query(`alter table ${name} owner to ${identifier(facts.owner)}`);
  return shadow;
}

/** Compares all rows of two tables, as the acting role sees them, by count and checksum; where these differ, by the rows. */
export async function compareTables(tx: Queryable, table: string, shadow: string, uncompared: readonly string[]): Promise<TableComparison> {
  const rowOf = `to_jsonb(t) - $1::text[]`;
  const sum = (name: string) =>
    tx.query<{ rows: number; sum: string | null }>(
      `select count(*)::float8 as rows, sum(hashtextextended((${rowOf})::text, 0)::numeric)::text as sum from ${quoted(name)} as t`,
      [uncompared],
    );
  const [[live], [made]] = [await sum(table), await sum(shadow)];
  const equal = live?.rows === made?.rows && live?.sum === made?.sum;
  const only = async (one: string, other: string): Promise<unknown[]> =>
    equal
      ? []
      : (
          await tx.query<{ row: unknown }>(
            `select r.row from (select ${rowOf} as row from ${quoted(one)} as t except all select ${rowOf} from ${quoted(other)} as t) as r limit 10`,
            [uncompared],
          )
        ).map(({ row }) => row);
  return { table, rows: live?.rows ?? 0, shadowRows: made?.rows ?? 0, equal, onlyLive: await only(table, shadow), onlyShadow: await only(shadow, table) };
}

/** What else in the database holds on to a table itself, and would go on holding on to the old one: views, foreign keys of others, functions of its row type. */
const DEPENDENTS = `
  select 1 from pg_depend as d join pg_rewrite as r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid where d.refclassid = 'pg_class'::regclass and d.refobjid = $1::regclass
  union all select 1 from pg_constraint as k where k.contype = 'f' and k.confrelid = $1::regclass
  union all select 1 from pg_depend as d join pg_class as c on c.reltype = d.refobjid where d.refclassid = 'pg_type'::regclass and c.oid = $1::regclass and d.deptype = 'n'
  union all select 1 from pg_depend as d where d.refclassid = 'pg_class'::regclass and d.refobjid = $1::regclass and d.classid = 'pg_proc'::regclass
  union all select 1 from pg_publication_rel as p where p.prrelid = $1::regclass`;

/** Columns that can be written, those of them that are the primary key, and those that an update may set. */
const COLUMNS = `select array_agg(quote_ident(a.attname) order by a.attnum) as columns, coalesce(array_agg(quote_ident(a.attname) order by a.attnum) filter (where k.key), '{}') as key,
  coalesce(array_agg(quote_ident(a.attname) order by a.attnum) filter (where not k.key and a.attidentity <> 'a'), '{}') as others
  from pg_attribute as a cross join lateral (select exists (select from pg_index as i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any (i.indkey)) as key) as k
  where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''`;

const TRIGGERS = `select pg_get_triggerdef(oid) as statement, format('alter table %s %s trigger %I', $1::text, case tgenabled when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' end, tgname) as mode,
  tgenabled = 'O' as plain from pg_trigger where tgrelid = $1::text::regclass and not tgisinternal order by tgname`;

const SEQUENCES = `select format('alter sequence %s owned by @table.%I', s.oid::regclass, a.attname) as statement
  from pg_depend as d join pg_class as s on s.oid = d.objid and s.relkind = 'S' join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = $1::regclass and d.deptype = 'a'`;

/** Indexes with what tells them apart from others of their table. */
const INDEXES = `select c.relname as name, i.indisprimary || ' ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX \\S+ ON \\S+ ', '\\1') as shape
  from pg_index as i join pg_class as c on c.oid = i.indexrelid where i.indrelid = $1::regclass order by c.relname`;

/**
 * Gives a table the rows of another. Row by row of the primary key: a row that is in both is never deleted, so that foreign keys of other tables hold and
 * do not cascade.
 */
async function copyRows(owner: Queryable, live: string, made: string): Promise<void> {
  const [found] = await owner.query<{ columns: string[]; key: string[]; others: string[] }>(COLUMNS, [live]);
  const { columns = [], key = [], others = [] } = found ?? {};
  const same = key.map((name) => `made.${name} = live.${name}`).join(' and ');
  await owner.query(`delete from ${live} as live${same ? ` where not exists (select from ${made} as made where ${same})` : ''}`);
  const conflict = others.length > 0 ? `update set ${others.map((name) => `${name} = excluded.${name}`).join(', ')}` : 'nothing';
  await owner.query(
    `insert into ${live} (${columns.join(', ')}) overriding system value select ${columns.join(', ')} from ${made}${same ? ` on conflict (${key.join(', ')}) do ${conflict}` : ''}`,
  );
}

/**
 * Puts a shadow in the place of its table, in the transaction of the caller; other transactions see the old one until it commits. By renaming, in no time, unless
 * something depends on the table itself: then by replacing its rows. A row that other tables refer to and that is no longer made ends as their foreign
 * keys say.
 */
export async function swapTable(owner: Queryable, table: string, shadow: string): Promise<'renamed' | 'copied'> {
  const [live, made] = [quoted(table), quoted(shadow)];
  if ((await owner.query(DEPENDENTS, [live])).length > 0) {
    await copyRows(owner, live, made);
    await owner.query(`drop table ${made}`);
    return 'copied';
  }
  const [schema = '', name = ''] = table.split('.');
  const old = `${shadowOf(table)
    .slice(schema.length + 1)
    .replace(/__shadow$/, '__former')}`;
  const triggers = await owner.query<{ statement: string; mode: string; plain: boolean }>(TRIGGERS, [live]);
  const indexes = await owner.query<{ name: string; shape: string }>(INDEXES, [live]);
  const sequences = await owner.query<{ statement: string }>(SEQUENCES, [live]);
  await owner.query(`alter table ${live} rename to ${identifier(old)}`);
  await owner.query(`alter table ${made} rename to ${identifier(name)}`);
  for (const { statement } of sequences) await owner.query(statement.replace('@table', live));
  await owner.query(`drop table ${identifier(schema)}.${identifier(old)}`);
  for (const { statement, mode, plain } of triggers) {
    await owner.query(statement);
    if (!plain) await owner.query(mode);
  }
  const fresh = await owner.query<{ name: string; shape: string }>(INDEXES, [live]);
  for (const index of indexes) {
    const at = fresh.findIndex((one) => one.shape === index.shape);
    const [found] = at < 0 ? [] : fresh.splice(at, 1);
    if (found && found.name !== index.name)
      await owner.query(`alter index ${identifier(schema)}.${identifier(found.name)} rename to ${identifier(index.name)}`);
  }
  return 'renamed';
}
