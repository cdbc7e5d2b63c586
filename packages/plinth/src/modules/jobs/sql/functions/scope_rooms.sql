-- Not locked, so a hint: exact is only what plinth_jobs.claim_limited counts.
-- plpgsql, because it keeps the plan: planning took longer than running.
create or replace function plinth_jobs.scope_rooms(p_queues text[], p_tenants uuid[], p_keys text[])
returns table (lane integer, scope text, limit_id uuid, per text, queue text, max_running integer, running integer, every double precision, burst integer, starts integer, next_at timestamptz, room integer)
language plpgsql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = on set enable_sort = on
as $$
begin
  return query
  with entries as materialized (
    select * from plinth_jobs.lane_scopes(p_queues, p_tenants, p_keys)
  ), held as materialized (
    select h.scope, count(*)::integer as running from plinth_jobs.holds h where h.scope = any (array(select distinct e.scope from entries e where e.max_running is not null)) group by h.scope
  ), scopes as materialized (
    select s.scope, case when s.max_running is not null then coalesce(h.running, 0) end as running, r.idle_at - (s.burst - 1) * s.every * interval '1 second' as next_at,
      case when s.every is not null then greatest(0, floor(s.burst - greatest(0, extract(epoch from coalesce(r.idle_at, n.now) - n.now)) / s.every + 1e-6))::integer end as starts
    from (select distinct on (e.scope) e.* from entries e order by e.scope) s
    cross join (select clock_timestamp() as now) n
    left join held h on h.scope = s.scope
    -- As in plinth_jobs.claim_limited. Looked up one by one: a join would read the rates of everybody.
    left join lateral (select a.idle_at from plinth_jobs.rates a where a.tenant_id = s.scope_tenant and a.scope = s.scope limit 1) r
      on s.every is not null and r.idle_at <= n.now + (s.burst * s.every + 1) * interval '1 second'
  )
  select e.lane, e.scope, e.limit_id, e.per, e.queue, e.max_running, s.running, e.every, e.burst, s.starts, s.next_at, greatest(0, least(e.max_running - s.running, s.starts))
  from entries e join scopes s on s.scope = e.scope;
end
$$;
comment on function plinth_jobs.scope_rooms(text[], uuid[], text[]) is 'Limits of lanes with what is left of them now: how many of max_running run, how many may start by the rate and when the next may.';
