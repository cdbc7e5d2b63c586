import type pg from 'pg';

/**
 * Statements that put the functions and views of schema plinth into schema public under the same names, so that the
 * SQL of the seeds runs verbatim. Functions are thin wrappers that pass named arguments on; each carries a comment that starts
 * with `Plinth:`, by which the next run finds and replaces it. A name that someone else uses in public is an error, never overwritten.
 */
export async function exposePublicSql(client: pg.Client): Promise<string[]> {
  const { rows: old } = await client.query<{ drop: string }>(`
    select format('drop function %s', p.oid::regprocedure) as drop
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'public' and obj_description(p.oid, 'pg_proc') like 'Plinth:%'
    union all
    select format('drop view %s', c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind = 'v' and obj_description(c.oid, 'pg_class') like 'Plinth:%'`);
  const { rows: functions } = await client.query<{
    name: string;
    signature: string;
    types: string;
    result: string;
    call: string;
    volatile: string;
    set: boolean;
  }>(`
    select p.proname as name, pg_get_function_arguments(p.oid) as signature, pg_get_function_identity_arguments(p.oid) as types, pg_get_function_result(p.oid) as result,
      coalesce((select string_agg(format('%1$I := public.%2$I.%1$I', a.arg, p.proname), ', ') from unnest(p.proargnames) with ordinality a(arg, i)
        where p.proargmodes is null or p.proargmodes[a.i] in ('i', 'b')), '') as call,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatile, p.proretset as set
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'plinth' and p.prokind = 'f' and p.proname <> 'write_effects' order by 1`);
  const { rows: views } = await client.query<{ name: string; lockable: boolean }>(
    `select c.relname as name, has_table_privilege('plinth_app', c.oid, 'update') as lockable from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'plinth' and c.relkind = 'v' order by 1`,
  );
  return [
    ...old.map((row) => row.drop),
    ...views.flatMap(({ name, lockable }) => [
      `create view public.${name} with (security_invoker = true) as select * from plinth.${name}`,
      `comment on view public.${name} is 'Plinth: the same as plinth.${name}.'`,
      `grant select on public.${name} to plinth_app, plinth_worker, plinth_reader`,
      // SELECT ... FOR UPDATE needs the privilege on every view on its way.
      ...(lockable ? [`grant update on public.${name} to plinth_app, plinth_worker`] : []),
    ]),
    ...functions.flatMap((row) => {
      const call = row.call.replaceAll(`public.${row.name}.`, `${row.name}.`);
      const body = row.set || row.result.startsWith('TABLE') ? `select * from plinth.${row.name}(${call})` : `select plinth.${row.name}(${call})`;
      return [
        `create function public.${row.name}(${row.signature}) returns ${row.result} language sql ${row.volatile} as $expose$ ${body} $expose$`,
        `comment on function public.${row.name}(${row.types}) is 'Plinth: the same as plinth.${row.name}.'`,
      ];
    }),
  ];
}
