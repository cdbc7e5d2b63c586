import type pg from 'pg';
import { identifier } from '../database.ts';
import { fail } from '../errors.ts';
import type { Grant } from './dependants.ts';
import { dropOurs } from './dependants.ts';
import type { Repeatable } from './files.ts';
import { applyRepeatables, createdBy } from './repeatables.ts';

/**
 * Puts the functions and views of schema plinth into schema public under the same names, so that the SQL of the seeds runs verbatim.
 * Functions are thin wrappers that pass named arguments on. Each object carries a comment that starts with `Plinth:`, by which the next
 * run finds it. A name that someone else uses in public is theirs: asked for, it is an error; later, it is left out.
 */

export interface Exposure {
  /** Names that are left out. */
  except: readonly string[];
}

/** What was exposed before. */
export async function exposureOf(client: pg.ClientBase): Promise<Exposure | undefined> {
  const { rowCount } = await client.query(
    `select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'plinth_kernel' and c.relname = 'exposure'`,
  );
  if (rowCount === 0) return undefined;
  const { rows } = await client.query<{ except: string[] }>('select except_names as except from plinth_kernel.exposure');
  return rows[0];
}

const NAMES = `
select c.relname as name, 'view' as kind from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'plinth' and c.relkind = 'v'
union select p.proname, 'function' from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'plinth' and p.prokind = 'f'`;

const TAKEN = `
with wanted as (select distinct * from unnest($1::text[], $2::text[]) as w (name, kind)), place as (select oid from pg_namespace where nspname = 'public')
select w.name, format('%s (%s)', w.name, case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index' else 'table' end) as described
from wanted w join pg_class c on c.relname = w.name and c.relnamespace = (table place)
where w.kind = 'view' and not (c.relkind = 'v' and coalesce(obj_description(c.oid, 'pg_class'), '') like 'Plinth:%')
union all
select w.name, w.name || ' (type)' from wanted w join pg_type t on t.typname = w.name and t.typnamespace = (table place) where w.kind = 'view' and t.typrelid = 0 and t.typcategory <> 'A'
union all
select w.name, w.name || ' (function)' from wanted w where w.kind = 'function'
  and exists (select from pg_proc p where p.proname = w.name and p.pronamespace = (table place))
  and not exists (select from pg_proc p where p.proname = w.name and p.pronamespace = (table place) and obj_description(p.oid, 'pg_proc') like 'Plinth:%')
order by 1`;

interface Name {
  name: string;
  kind: string;
}

/** Names in schema public that others have. A function counts by its name: beside ours, a call of theirs could fit both. */
const takenOf = async (client: pg.ClientBase, wanted: readonly Name[]): Promise<{ name: string; described: string }[]> =>
  (await client.query<{ name: string; described: string }>(TAKEN, [wanted.map(({ name }) => name), wanted.map(({ kind }) => kind)])).rows;

/** Looks before anything is done. Errors: kernel_expose_taken, kernel_invalid_input, kernel_forbidden. */
export async function refuseTaken(client: pg.ClientBase, files: readonly Repeatable[], { except }: Exposure): Promise<void> {
  const { rows } = await client.query<Name>(NAMES);
  const coming = files.map((file) => ({ name: createdBy(file), kind: file.kind })).filter(({ name }) => name.startsWith('plinth.'));
  const wanted = [...rows, ...coming.map(({ name, kind }) => ({ name: name.slice('plinth.'.length), kind })), { name: 'trace', kind: 'function' }];
  const nobodys = except.find((name) => !wanted.some((one) => one.name === name));
  if (nobodys) throw fail('invalid_input', { message: `${nobodys} cannot be left out: schema plinth has no view or function of that name` });
  const { rows: places } = await client.query<{ open: boolean; role: string }>(
    `select coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'create'), false) as open, current_user as role`,
  );
  if (!places[0]?.open)
    throw fail('forbidden', {
      message: `Role ${places[0]?.role} may not create objects in schema public`,
      wayOut: `As its owner: grant create on schema public to ${identifier(places[0]?.role ?? '')}.`,
    });
  const taken = await takenOf(
    client,
    wanted.filter(({ name }) => !except.includes(name)),
  );
  const names = [...new Set(taken.map(({ name }) => name))];
  if (names.length > 0)
    throw fail('expose_taken', {
      message: `Schema public has these names already: ${[...new Set(taken.map(({ described }) => described))].join(', ')}`,
      wayOut: `Rename what has them, or leave them out: --expose-except ${[...except, ...names].join(',')}`,
      detail: { names },
    });
}

/** Exposed objects that have no counterpart any more, or one that CREATE OR REPLACE cannot turn them into. */
const OBSOLETE = `
select format('public.%I', c.relname) as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'v' and obj_description(c.oid, 'pg_class') like 'Plinth:%'
  and (c.relname = any ($1) or to_regclass(format('plinth.%I', c.relname)) is null)
union all
select format('public.%I(%s)', p.proname, oidvectortypes(p.proargtypes)) from pg_proc p
where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') like 'Plinth:%' and (p.proname = any ($1) or not exists (
  select from pg_proc own where own.pronamespace = 'plinth'::regnamespace and own.proname = p.proname and own.prokind = 'f'
    and (pg_get_function_arguments(own.oid), pg_get_function_result(own.oid)) = (pg_get_function_arguments(p.oid), pg_get_function_result(p.oid))))`;

interface OwnFunction {
  name: string;
  signature: string;
  types: string;
  result: string;
  call: string;
  volatile: string;
  set: boolean;
}

const FUNCTIONS = `
select p.proname as name, pg_get_function_arguments(p.oid) as signature, pg_get_function_identity_arguments(p.oid) as types, pg_get_function_result(p.oid) as result,
  coalesce((select string_agg(format('%1$I := %2$I.%1$I', a.arg, p.proname), ', ') from unnest(p.proargnames) with ordinality a(arg, i)
    where p.proargmodes is null or p.proargmodes[a.i] in ('i', 'b')), '') as call,
  case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatile, p.proretset as set
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'plinth' and p.prokind = 'f' order by 1`;

const VIEWS = `select c.relname as name, has_table_privilege('plinth_app', c.oid, 'update') as lockable
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'plinth' and c.relkind = 'v' order by 1`;

function viewFile({ name, lockable }: { name: string; lockable: boolean }): Repeatable {
  const text = [
    `create or replace view public.${name} with (security_invoker = true) as select * from plinth.${name}`,
    `comment on view public.${name} is 'Plinth: the same as plinth.${name}.'`,
    `revoke all on public.${name} from plinth_app, plinth_worker, plinth_reader`,
    `grant select on public.${name} to plinth_app, plinth_worker, plinth_reader`,
    // SELECT ... FOR UPDATE needs the privilege on every view on its way.
    ...(lockable ? [`grant update on public.${name} to plinth_app, plinth_worker`] : []),
  ];
  return { module: 'public', kind: 'view', name, text: text.join(';\n') };
}

function functionFile({ name, signature, types, result, call, volatile, set }: OwnFunction): Repeatable {
  const body = set || result.startsWith('TABLE') ? `select * from plinth.${name}(${call})` : `select plinth.${name}(${call})`;
  const text = `create or replace function public.${name}(${signature}) returns ${result} language sql ${volatile} as $expose$ ${body} $expose$;
comment on function public.${name}(${types}) is 'Plinth: the same as plinth.${name}.'`;
  return { module: 'public', kind: 'function', name, text };
}

/** Runs in the caller's transaction, as the role that installs. Tells the privileges that were lost, and the names that others have. */
export async function exposePublic(client: pg.ClientBase, { except }: Exposure): Promise<{ grants: Grant[]; leftOut: string[] }> {
  const { rows: views } = await client.query<{ name: string; lockable: boolean }>(VIEWS);
  const { rows: functions } = await client.query<OwnFunction>(FUNCTIONS);
  const wanted = [...views.map(({ name }) => ({ name, kind: 'view' })), ...functions.map(({ name }) => ({ name, kind: 'function' }))];
  const taken = (await takenOf(client, wanted)).map(({ name }) => name);
  const leftOut = new Set([...except, ...taken]);
  const files = [...views.map(viewFile), ...functions.map(functionFile)].filter((file) => !leftOut.has(file.name));
  const ours = files.map(createdBy);
  const grants: Grant[] = [];
  const { rows: obsolete } = await client.query<{ name: string }>(OBSOLETE, [[...except]]);
  for (const { name } of obsolete) grants.push(...(await dropOurs(client, name, ours)).grants);
  grants.push(...(await applyRepeatables(client, files)));
  return { grants, leftOut: [...leftOut] };
}
