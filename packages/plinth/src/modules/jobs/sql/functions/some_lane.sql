create or replace function plinth_jobs.some_lane() returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  _slot integer := (select n from generate_series(0, 3) n where pg_catalog.pg_relation_size(('plinth_jobs.jobs_ready_' || n)::regclass) > 0 order by random() limit 1);
begin
  perform plinth_kernel.require_worker();
  return query
  select r.queue::text, r.priority::smallint, r.tenant_id, r.concurrency_key::text from plinth_jobs.jobs_ready r
  where r.slot = _slot and r.ctid >= ('(' || floor(random() * pg_catalog.pg_relation_size(('plinth_jobs.jobs_ready_' || _slot)::regclass) / 8192)::bigint || ',0)')::tid limit 1;
end
$$;
comment on function plinth_jobs.some_lane() is 'The lane of a waiting job, by chance; sometimes none. For plinth_worker.';
