import type pg from 'pg';
import { identifier, literal } from '../database.ts';
import { fail } from '../errors.ts';

/** What stands on a view or function: ours, which can be made again, and what others built, which cannot. */

interface Dependant {
  classid: number;
  objid: number;
  /** As drop takes it: `view plinth.audit_logs`. */
  drop: string;
  name: string;
  /** As people read it: `materialized view report.daily`. */
  described: string;
  owner: string;
  ours: boolean;
}

/** A privilege that somebody gave beside those of the cards, to be given again by the same owner. */
export interface Grant {
  owner: string;
  text: string;
}

/**
 * Everything that DROP of $1 (a relation or a routine) would have to take along, itself included. $2: relations and routines that are
 * made again, by qualified name. Goes on behind ours only: what stands on a foreign object is of no interest. A view depends through its
 * rule, what uses rows of a view through their type.
 */
const dependantsSql = (name: string): string => `
with recursive reached (classid, objid, ours) as (
  select root.classid, root.objid, true
  from (select ${name.includes('(') ? `'pg_proc'::regclass::oid, to_regprocedure($1)::oid` : `'pg_class'::regclass::oid, to_regclass($1)::oid`}) as root (classid, objid)
  where root.objid is not null
  union
  select found.classid, found.objid, d.deptype = 'i' or coalesce(
      (select format('%I.%I', n.nspname, c.relname) = any ($2) or n.nspname = 'public' and obj_description(c.oid, 'pg_class') like 'Plinth:%'
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where found.classid = 'pg_class'::regclass and c.oid = found.objid),
      (select format('%I.%I', n.nspname, p.proname) = any ($2) or n.nspname = 'public' and obj_description(p.oid, 'pg_proc') like 'Plinth:%'
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace where found.classid = 'pg_proc'::regclass and p.oid = found.objid), false)
  from reached
  join pg_depend d on d.refclassid = reached.classid and d.refobjid = reached.objid and reached.ours and d.deptype in ('n', 'a', 'i')
  left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid and r.rulename = '_RETURN'
  cross join lateral (select case when r.oid is null then d.classid else 'pg_class'::regclass::oid end as classid, coalesce(r.ev_class, d.objid) as objid) as found
)
select r.classid, r.objid, r.ours, pg_describe_object(r.classid, r.objid, 0) as described,
  case when p.oid is null then quote_ident(n.nspname) || '.' || quote_ident(c.relname) else p.oid::regprocedure::text end as name,
  case when p.oid is null then 'view ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) else 'routine ' || p.oid::regprocedure::text end as drop,
  pg_get_userbyid(coalesce(c.relowner, p.proowner)) as owner
from reached as r
left join pg_class c on r.classid = 'pg_class'::regclass and c.oid = r.objid left join pg_namespace n on n.oid = c.relnamespace
left join pg_proc p on r.classid = 'pg_proc'::regclass and p.oid = r.objid
where not r.ours or c.oid is not null or p.oid is not null
order by r.ours desc, described`;

/** Privileges of roles that are not of Plinth, as statements. */
const GRANTS = `
select pg_get_userbyid(o.owner) as owner, format('grant %s%s on %s to %s%s', a.privilege_type, o.columns, o.name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
  case when a.is_grantable then ' with grant option' else '' end) as text
from (
  select 'pg_class'::regclass::oid as classid, c.oid as objid, c.relowner as owner, c.relacl as acl, '' as columns, c.oid::regclass::text as name from pg_class c
  union all select 'pg_class'::regclass, c.oid, c.relowner, t.attacl, format(' (%I)', t.attname), c.oid::regclass::text
    from pg_class c join pg_attribute t on t.attrelid = c.oid where not t.attisdropped
  union all select 'pg_proc'::regclass, p.oid, p.proowner, p.proacl, '', 'routine ' || p.oid::regprocedure::text from pg_proc p
) as o, aclexplode(o.acl) as a
where o.classid = $1 and o.objid = $2 and a.grantee <> o.owner and a.grantee <> all (array(select oid from pg_roles where rolname in ('plinth_owner', 'plinth_app', 'plinth_worker', 'plinth_reader')))
order by 2`;

const dependantsOf = async (client: pg.ClientBase, name: string, ours: readonly string[]): Promise<Dependant[]> =>
  (await client.query<Dependant>(dependantsSql(name), [name, ours])).rows;

/** Objects of others that stand on it, described; at most as many as a person reads. */
export const builtOn = async (client: pg.ClientBase, name: string, ours: readonly string[]): Promise<string[]> =>
  (await dependantsOf(client, name, ours)).filter((one) => !one.ours).map((one) => one.described);

/** What would be dropped with it and made again, itself included. */
export const goneWith = async (client: pg.ClientBase, name: string, ours: readonly string[]): Promise<string[]> =>
  (await dependantsOf(client, name, ours)).filter((one) => one.ours).map((one) => one.name);

export const inUse = (name: string, dependants: readonly string[]) =>
  fail('object_in_use', {
    message: `${name} has to be dropped and made again, and others are built on it: ${dependants.slice(0, 20).join(', ')}${dependants.length > 20 ? ` and ${dependants.length - 20} more` : ''}`,
    detail: { object: name, dependants },
  });

/**
 * Drops a view or routine of ours with everything of ours that stands on it, never with CASCADE, each as its owner. Tells what went and
 * which privileges went with it. Errors: kernel_object_in_use.
 */
export async function dropOurs(client: pg.ClientBase, name: string, ours: readonly string[]): Promise<{ names: string[]; grants: Grant[] }> {
  const dependants = await dependantsOf(client, name, ours);
  const foreign = dependants.filter((one) => !one.ours);
  if (foreign.length > 0)
    throw inUse(
      name,
      foreign.map((one) => one.described),
    );
  const grants: Grant[] = [];
  for (const one of dependants) grants.push(...(await client.query<Grant>(GRANTS, [one.classid, one.objid])).rows);
  let waiting = dependants;
  while (waiting.length > 0) {
    const left: Dependant[] = [];
    for (const one of waiting) if (!(await asOwner(client, one.owner, `drop ${one.drop}`, ['2BP01']))) left.push(one);
    if (left.length === waiting.length)
      throw inUse(
        name,
        left.map((one) => one.described),
      );
    waiting = left;
  }
  return { names: dependants.map((one) => one.name), grants };
}

/** Gives again what was lost with an object that was dropped. What is of a column or object that is no more goes with it. */
export async function giveAgain(client: pg.ClientBase, grants: readonly Grant[]): Promise<void> {
  for (const { owner, text } of grants) await asOwner(client, owner, text, ['42703', '42P01', '42883']);
}

/** Runs a statement as that role; false when it fails for one of these reasons. The role before is the role after. */
async function asOwner(client: pg.ClientBase, owner: string, text: string, expected: readonly string[]): Promise<boolean> {
  const { rows } = await client.query<{ role: string }>(`select current_setting('role') as role`);
  await client.query(`savepoint as_owner; set local role ${identifier(owner)}`);
  try {
    await client.query(text);
  } catch (error) {
    await client.query('rollback to savepoint as_owner; release savepoint as_owner');
    if (!expected.includes((error as { code?: string }).code ?? '')) throw error;
    return false;
  }
  // A released savepoint keeps what SET LOCAL did.
  await client.query(`release savepoint as_owner; set local role ${literal(rows[0]?.role ?? 'none')}`);
  return true;
}
