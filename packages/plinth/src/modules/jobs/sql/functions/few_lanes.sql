create or replace function plinth_jobs.few_lanes(p_queues text[], p_most integer) returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
begin
  if exists (select from plinth_jobs.limits) or exists (select from plinth_jobs.weights) or exists (select from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp())) then
    return;
  end if;
  return query
  with first as materialized (
    select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
    order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit p_most + 1
  )
  select f.queue::text, f.priority::smallint, f.tenant_id, f.concurrency_key::text from first f
  where (select count(*) from first) <= p_most and (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant)
  group by f.queue, f.priority, f.tenant_id, f.concurrency_key order by f.priority;
end
$$;
comment on function plinth_jobs.few_lanes(text[], integer) is
  'The lanes in which jobs may start now, most urgent first, if no more than p_most jobs wait in all of them and nothing is limited, weighted or paused; otherwise none.';
