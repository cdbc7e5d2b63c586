-- As plinth_jobs.lanes, but steps over queues and tenants of which nothing may start, however many lanes they have, and leaves out keys. Lanes that turn out to have
-- no room, or whose key is paused, are behind the limit of a look, so it looks again behind them: an operator may have paused one key of thousands of tenants.
create or replace function plinth_jobs.limited_lanes(p_queues text[], p_limit integer, p_after_queue text, p_after_priority smallint, p_after_tenant uuid, p_after_key text)
returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text, weight integer, room integer)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = on set plan_cache_mode = force_generic_plan
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _closed jsonb := plinth_jobs.closed_prefixes();
  _queues text[];
  _priorities smallint[];
  _tenants uuid[];
  _keys text[];
  _rooms integer[];
  _after_queue text := coalesce(p_after_queue, '');
  _after_priority smallint := coalesce(p_after_priority, 0::smallint);
  _after_tenant uuid := coalesce(p_after_tenant, '00000000-0000-0000-0000-000000000000');
  _after_key text := coalesce(p_after_key, '');
  _told integer := 0;
  _more integer;
begin
  if _closed ? '*' then
    return;
  end if;
  for _look in 1 .. 10 loop
    with recursive found as (
      (select r.queue, r.priority, r.tenant_id, r.concurrency_key, 0 as place,
        case when _closed ? ('q/' || r.queue) then 'queue' when _closed ?| array['t/' || r.tenant_id || '/', 't/' || r.tenant_id || '/' || r.queue] then 'tenant'
          when r.concurrency_key <> '' and _closed ?| array['key/i/' || r.tenant_id || '/0//' || r.concurrency_key, 'key/t/' || r.tenant_id || '/0//' || r.concurrency_key,
            'key/i/' || r.tenant_id || '/' || length(r.queue) || '/' || r.queue || '/' || r.concurrency_key, 'key/t/' || r.tenant_id || '/' || length(r.queue) || '/' || r.queue || '/' || r.concurrency_key] then 'key' end as closed
       from plinth_jobs.jobs_ready r
       where (r.queue, r.priority, r.tenant_id, r.concurrency_key)
         > (_after_queue, _after_priority, _after_tenant, _after_key)
       order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
      union all
      -- Lanes that are closed take no place: there are no more keys at their cap than jobs that run.
      select n.queue, n.priority, n.tenant_id, n.concurrency_key,
        case when n.tenant_id = f.tenant_id and n.priority = f.priority and n.queue = f.queue then f.place + case when f.closed is null then 1 else 0 end else 0 end,
        case when _closed ? ('q/' || n.queue) then 'queue' when _closed ?| array['t/' || n.tenant_id || '/', 't/' || n.tenant_id || '/' || n.queue] then 'tenant'
          when n.concurrency_key <> '' and _closed ?| array['key/i/' || n.tenant_id || '/0//' || n.concurrency_key, 'key/t/' || n.tenant_id || '/0//' || n.concurrency_key,
            'key/i/' || n.tenant_id || '/' || length(n.queue) || '/' || n.queue || '/' || n.concurrency_key, 'key/t/' || n.tenant_id || '/' || length(n.queue) || '/' || n.queue || '/' || n.concurrency_key] then 'key' end
      from found f cross join lateral (
        select case when f.closed in ('queue', 'tenant') or (f.closed is null and f.place in (127, 255))
          then plinth_jobs.key_after(f.queue, f.priority, f.tenant_id, f.concurrency_key, case when f.closed is null then f.place + 1 else 256 end) else f.concurrency_key end as key offset 0) k
      cross join lateral (
        select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
        where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (f.queue,
          case f.closed when 'queue' then 32767 else f.priority end,
          case f.closed when 'queue' then 'ffffffff-ffff-ffff-ffff-ffffffffffff' else f.tenant_id end,
          k.key)
        order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
    ), open as (
      select f.* from found f where f.closed is null and (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant) limit p_limit
    )
    select array_agg(o.queue), array_agg(o.priority), array_agg(o.tenant_id), array_agg(o.concurrency_key) into _queues, _priorities, _tenants, _keys from open o;
    -- An array by lane, not a join: the planner knows nothing of these sets and would compare each lane with each.
    select array_agg(r.room order by r.lane) into _rooms from (
      select e.lane, min(e.room) as room from (
        select s.lane, s.room from plinth_jobs.scope_rooms(_queues, _tenants, _keys) s
        union all
        select n, null from generate_series(1, cardinality(_queues)) n) e
      group by e.lane) r;
    return query
    select l.queue, l.priority, l.tenant_id, l.key, coalesce(
      (select w.weight from plinth_jobs.weights w where w.tenant_id = l.tenant_id and w.queue = l.queue),
      (select w.weight from plinth_jobs.weights w where w.tenant_id = l.tenant_id and w.queue = ''), 1), l.room
    from unnest(_queues, _priorities, _tenants, _keys, _rooms) with ordinality as l (queue, priority, tenant_id, key, room, lane)
    where l.room is distinct from 0 and not exists (
      select from plinth_jobs.pauses p
      where p.tenant_id in (l.tenant_id, '00000000-0000-0000-0000-000000000000') and p.ends_at > (select clock_timestamp()) and p.kind is null
        and (p.queue is null or p.queue = l.queue) and (p.concurrency_key is null or p.concurrency_key = l.key))
    order by l.lane limit p_limit - _told;
    get diagnostics _more = row_count;
    _told := _told + _more;
    exit when _told = p_limit or coalesce(cardinality(_queues), 0) < p_limit;
    _after_queue := _queues[p_limit]; _after_priority := _priorities[p_limit]; _after_tenant := _tenants[p_limit]; _after_key := _keys[p_limit];
  end loop;
end
$$;
comment on function plinth_jobs.limited_lanes(text[], integer, text, smallint, uuid, text) is 'plinth_jobs.lanes where there are limits, weights or pauses.';
