-- Keys of the answer: `*` everything, `q/<queue>`, `t/<tenant>/`, `t/<tenant>/<queue>`, and scopes of keys as they are. Found from what runs and what has started, so it costs
-- as much as there are scopes at work, not as many as there are tenants or jobs. Of keys that a rate holds back it knows some: a tenant may have a hundred
-- thousand of them for a day, and whoever looks for lanes of others would read them all. Those that it does not know have no room (limited_lanes).
-- plpgsql, because it keeps the plan: planning took longer than running.
create or replace function plinth_jobs.closed_prefixes() returns jsonb
language plpgsql stable security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
begin
  return (
  with recursive paced as (
    (select r.tenant_id from plinth_jobs.rates r order by r.tenant_id limit 1)
    union all
    select n.tenant_id from paced p cross join lateral (select r.tenant_id from plinth_jobs.rates r where r.tenant_id > p.tenant_id order by r.tenant_id limit 1) n
  ), busy as materialized (
    select h.scope from plinth_jobs.holds h group by h.scope
    -- What has fewer than the least cap there is cannot be full.
    having count(*) >= (select min(l.max_running) from plinth_jobs.limits l)
    union
    -- Scopes of queues and tenants sort behind those of keys. By the primary key (offset 0), and not by when the next of all tenants may start.
    select r.scope from paced p cross join lateral (
      select r.scope, r.next_at from plinth_jobs.rates r where r.tenant_id = p.tenant_id and r.scope >= 'queue' offset 0) r
    where r.next_at > (select clock_timestamp())
    union
    (select k.scope from paced p cross join lateral (
      select r.scope, r.next_at from plinth_jobs.rates r where r.tenant_id = p.tenant_id and r.scope < 'queue' order by r.scope limit 256) k
    where k.next_at > (select clock_timestamp()) limit 1000)
  ), parts as materialized (
    select b.scope, split_part(b.scope, '/', 1) as per, split_part(substr(b.scope, 44), '/', 1) as size from busy b
  ), named as materialized (
    select p.scope, p.per, row_number() over () as lane,
      case p.per when 'queue' then '00000000-0000-0000-0000-000000000000' when 'tenant' then substr(p.scope, 10, 36) else substr(p.scope, 7, 36) end::uuid as tenant_id,
      case p.per when 'queue' then substr(p.scope, 7) when 'tenant' then substr(p.scope, 47) else substr(p.scope, 45 + length(p.size), p.size::integer) end as queue,
      case p.per when 'key' then substr(p.scope, 46 + length(p.size) + p.size::integer) else '' end as key
    from parts p
  ), given as (
    select array_agg(n.queue order by n.lane) as queues, array_agg(n.tenant_id order by n.lane) as tenants, array_agg(n.key order by n.lane) as keys from named n
  ), closed as (
    select case n.per when 'queue' then 'q/' || n.queue when 'tenant' then 't/' || n.tenant_id || '/' || n.queue else n.scope end as prefix
    from given g cross join lateral plinth_jobs.scope_rooms(g.queues, g.tenants, g.keys) s join named n on n.lane = s.lane and n.scope = s.scope
    where s.room = 0
    union all
    select case when p.tenant_id <> '00000000-0000-0000-0000-000000000000' then 't/' || p.tenant_id || '/' || coalesce(p.queue, '') when p.queue is null then '*' else 'q/' || p.queue end
    from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp()) and p.kind is null and p.concurrency_key is null
  )
  select coalesce(jsonb_object_agg(c.prefix, true), '{}') from closed c);
end
$$;
comment on function plinth_jobs.closed_prefixes() is 'Queues, tenants and concurrency keys of which nothing may start now, because of a pause, a cap or a rate.';
