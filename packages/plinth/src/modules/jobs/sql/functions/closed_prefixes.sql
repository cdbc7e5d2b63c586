-- Keys of the answer: `*` everything, `q/<queue>`, `t/<tenant>/` and `t/<tenant>/<queue>`. Found from what runs and what has started, so it costs
-- as much as there are scopes at work, not as many as there are tenants or jobs.
-- plpgsql, because it keeps the plan: planning took longer than running.
create or replace function plinth_jobs.closed_prefixes() returns jsonb
language plpgsql stable security invoker set search_path = '' set enable_seqscan = off
as $$
begin
  return (
  with busy as materialized (
    select h.scope from plinth_jobs.holds h where h.scope not like 'key/%' group by h.scope
    union
    select r.scope from plinth_jobs.rates r where r.scope not like 'key/%' and r.next_at > (select clock_timestamp())
  ), named as materialized (
    select b.scope, row_number() over () as lane,
      case when b.scope like 'queue/%' then substr(b.scope, 7) else substr(b.scope, 47) end as queue,
      case when b.scope like 'queue/%' then '00000000-0000-0000-0000-000000000000' else substr(b.scope, 10, 36) end::uuid as tenant_id
    from busy b
  ), given as (
    select array_agg(n.queue order by n.lane) as queues, array_agg(n.tenant_id order by n.lane) as tenants, array_agg(''::text order by n.lane) as keys from named n
  ), closed as (
    select case when n.scope like 'queue/%' then 'q/' || n.queue else 't/' || n.tenant_id || '/' || n.queue end as prefix
    from given g cross join lateral plinth_jobs.scope_rooms(g.queues, g.tenants, g.keys) s join named n on n.lane = s.lane and n.scope = s.scope
    where s.room = 0
    union all
    select case when p.tenant_id <> '00000000-0000-0000-0000-000000000000' then 't/' || p.tenant_id || '/' || coalesce(p.queue, '') when p.queue is null then '*' else 'q/' || p.queue end
    from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp()) and p.kind is null and p.concurrency_key is null
  )
  select coalesce(jsonb_object_agg(c.prefix, true), '{}') from closed c);
end
$$;
comment on function plinth_jobs.closed_prefixes() is 'Queues and tenants of which nothing may start now, because of a pause, a cap or a rate.';
