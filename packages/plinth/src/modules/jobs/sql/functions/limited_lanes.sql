-- As plinth_jobs.lanes, but steps over queues and tenants of which nothing may start, however many lanes they have.
create or replace function plinth_jobs.limited_lanes(p_queues text[], p_limit integer)
returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text, weight integer, room integer)
language plpgsql volatile security definer set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = on set plan_cache_mode = force_generic_plan
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _closed jsonb := plinth_jobs.closed_prefixes();
  -- Longer than a key may be, of the last character there is: after every key.
  _last_key constant text := repeat(chr(1114111), 201);
  _queues text[];
  _priorities smallint[];
  _tenants uuid[];
  _keys text[];
begin
  if _closed ? '*' then
    return;
  end if;
  with recursive found as (
    (select r.queue, r.priority, r.tenant_id, r.concurrency_key,
      case when _closed ? ('q/' || r.queue) then 'queue' when _closed ?| array['t/' || r.tenant_id || '/', 't/' || r.tenant_id || '/' || r.queue] then 'tenant' end as closed
     from plinth_jobs.jobs_ready r order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
    union all
    select n.queue, n.priority, n.tenant_id, n.concurrency_key,
      case when _closed ? ('q/' || n.queue) then 'queue' when _closed ?| array['t/' || n.tenant_id || '/', 't/' || n.tenant_id || '/' || n.queue] then 'tenant' end
    from found f cross join lateral (
      select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
      where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (f.queue,
        case f.closed when 'queue' then 32767 else f.priority end,
        case f.closed when 'queue' then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else f.tenant_id end,
        case when f.closed is null then f.concurrency_key else _last_key end)
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
  ), open as (
    select f.* from found f where f.closed is null and (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant) limit p_limit
  )
  select array_agg(o.queue), array_agg(o.priority), array_agg(o.tenant_id), array_agg(o.concurrency_key) into _queues, _priorities, _tenants, _keys from open o;
  return query
  with rooms as materialized (
    select s.lane, min(s.room) as room from plinth_jobs.scope_rooms(_queues, _tenants, _keys) s group by s.lane
  )
  select l.queue, l.priority, l.tenant_id, l.key, coalesce(
    (select w.weight from plinth_jobs.weights w where w.tenant_id = l.tenant_id and w.queue = l.queue),
    (select w.weight from plinth_jobs.weights w where w.tenant_id = l.tenant_id and w.queue = ''), 1), r.room
  from unnest(_queues, _priorities, _tenants, _keys) with ordinality as l (queue, priority, tenant_id, key, lane)
  left join rooms r on r.lane = l.lane
  where r.room is distinct from 0 and not exists (
    select from plinth_jobs.pauses p
    where p.tenant_id in (l.tenant_id, '00000000-0000-0000-0000-000000000000') and p.ends_at > (select clock_timestamp()) and p.kind is null
      and (p.queue is null or p.queue = l.queue) and (p.concurrency_key is null or p.concurrency_key = l.key))
  order by l.lane;
end
$$;
comment on function plinth_jobs.limited_lanes(text[], integer) is 'plinth_jobs.lanes where there are limits, weights or pauses.';
