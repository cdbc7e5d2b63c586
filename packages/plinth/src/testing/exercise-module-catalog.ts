import type pg from 'pg';
import type { EffectInsert } from '#kernel/effects.ts';

/** What the contract tests ask the catalog. Each answers with facts; the promises judge them. */

export interface RelationFacts {
  name: string;
  partition: boolean;
  enabled: boolean;
  forced: boolean;
  /** Roles other than the owner that hold any privilege. */
  grantees: string[];
}

export async function relationsOf(client: pg.Client, schema: string): Promise<RelationFacts[]> {
  const { rows } = await client.query<RelationFacts>(
    `select c.relname as name, c.relispartition as partition, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
       array(select distinct a.grantee::regrole::text from aclexplode(c.relacl) a where a.grantee <> c.relowner order by 1) as grantees
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relkind in ('r', 'p') order by c.relname`,
    [schema],
  );
  return rows;
}

/** Public views, by qualified name, that read this table and show whose row it is. */
export async function viewsOver(client: pg.Client, schema: string, table: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select distinct format('%I.%I', n.nspname, v.relname) as name
     from pg_depend d join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
     join pg_class v on v.oid = r.ev_class and v.relkind = 'v' join pg_namespace n on n.oid = v.relnamespace
     where d.refclassid = 'pg_class'::regclass and d.refobjid = format('%I.%I', $1::text, $2::text)::regclass and n.nspname = 'plinth'
       and exists (select from pg_attribute a where a.attrelid = v.oid and a.attname = 'tenant_id')`,
    [schema, table],
  );
  return rows.map((row) => row.name);
}

/** Unique indexes of these tables whose first column is not tenant_id. */
export async function keysWithoutTenant(client: pg.Client, schema: string, tables: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%s.%s', t.relname, i.relname) as name
     from pg_index x join pg_class t on t.oid = x.indrelid join pg_class i on i.oid = x.indexrelid join pg_namespace n on n.oid = t.relnamespace
     left join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
     where n.nspname = $1 and t.relname = any ($2) and x.indisunique and a.attname is distinct from 'tenant_id' order by 1`,
    [schema, tables],
  );
  return rows.map((row) => row.name);
}

/** Tables of the schema, public views and public functions that have no comment. */
export async function commentless(client: pg.Client, schema: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where ((n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition) or (n.nspname = 'plinth' and c.relkind = 'v'))
       and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
     union all
     select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname in ('plinth', $1) and p.prorettype <> 'trigger'::regtype and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
     order by 1`,
    [schema],
  );
  return rows.map((row) => row.name);
}

/** Everything of Plinth that a migration makes, as text: two equal pictures are two equal schemas. */
export async function catalogPicture(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(
    `with ours as (select oid, nspname from pg_namespace where nspname = 'plinth' or nspname like 'plinth\\_%')
     select format('%s %s.%s %s %s', c.relkind, o.nspname, c.relname, c.relrowsecurity, array(select x::text from unnest(c.relacl) x order by 1)) as line
       from pg_class c join ours o on o.oid = c.relnamespace
     union all select format('column %s.%s.%s %s %s', o.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
       from pg_attribute a join pg_class c on c.oid = a.attrelid join ours o on o.oid = c.relnamespace where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v')
     union all select format('function %s %s %s', p.oid::regprocedure, md5(pg_get_functiondef(p.oid)), array(select x::text from unnest(p.proacl) x order by 1))
       from pg_proc p join ours o on o.oid = p.pronamespace where p.prokind in ('f', 'p')
     union all select format('policy %s.%s %s %s %s %s %s', schemaname, tablename, policyname, roles, cmd, qual, with_check)
       from pg_policies where schemaname in (select nspname from ours)
     union all select format('trigger %s', pg_get_triggerdef(t.oid)) from pg_trigger t join pg_class c on c.oid = t.tgrelid join ours o on o.oid = c.relnamespace where not t.tgisinternal
     union all select format('constraint %s.%s %s', o.nspname, k.conname, pg_get_constraintdef(k.oid)) from pg_constraint k join ours o on o.oid = k.connamespace
     order by 1`,
  );
  return rows.map((row) => row.line);
}

/** Columns that a prepared insert of effects leaves to defaults that read the context of the transaction. */
export async function contextLeftOut(client: pg.Client, { text, with: query = '', alone }: EffectInsert): Promise<string[]> {
  const inserts = [...[text, query, alone?.text, alone?.with].join(' ').matchAll(/insert into (\S+)(?: as \w+)? \(([^)]*)\)/g)];
  const left: string[] = inserts.length > 0 ? [] : ['there is no insert'];
  for (const [, table = '', columns = ''] of inserts) {
    const { rows } = await client.query<{ name: string }>(
      `select a.attname as name from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       where a.attrelid = $1::regclass and pg_get_expr(d.adbin, d.adrelid) ~ 'plinth_kernel\\.(setting|tenant_id|correlation_id|causation_id)|current_setting'
         and a.attname <> all ($2) order by a.attnum`,
      [table, columns.split(',').map((column) => column.trim())],
    );
    left.push(...rows.map(({ name }) => `${table}.${name}`));
  }
  return left;
}
