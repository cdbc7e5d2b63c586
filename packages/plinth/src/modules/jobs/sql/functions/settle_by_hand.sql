-- Who ends a job by UPDATE of plinth.background_jobs cannot know what else it holds: here a worker lets go of it, some time later. Such rows have no
-- worker, for none claimed them; one that is named `#` has been seen here. One at a time, so that one that cannot be settled holds up no other.
create or replace function plinth_jobs.settle_by_hand(p_limit integer default 1000) returns bigint
language plpgsql volatile security definer set search_path = '' set lock_timeout = '50ms' set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
  _job record;
  _settled bigint := 0;
begin
  perform plinth_kernel.require_worker();
  for _job in
    (select r.tenant_id, r.id, r.run_id, r.kind, r.unique_key, r.status from plinth_jobs.jobs_run r
     where r.worker is null and r.linked and r.status in ('completed', 'cancelled') limit p_limit)
    union all
    (select f.tenant_id, f.id, f.run_id, f.kind, f.unique_key, f.status from plinth_jobs.jobs_failed f where f.worker is null and f.linked limit p_limit)
  loop
    begin
      update plinth_jobs.jobs j set worker = '#'
      where j.tenant_id = _job.tenant_id and j.id = _job.id and j.run_id = _job.run_id and j.status = _job.status and j.worker is null;
      if found then
        perform plinth_jobs.settle_linked(jsonb_build_array(to_jsonb(_job)));
        _settled := _settled + 1;
      end if;
    exception when others then
      raise warning 'job % was ended by UPDATE and cannot be settled yet: %', _job.id, sqlerrm;
    end;
  end loop;
  return _settled;
end
$$;
comment on function plinth_jobs.settle_by_hand(integer) is
  'Settles what jobs held that were ended by UPDATE of plinth.background_jobs: unique key, batch, jobs that depend on them. At most p_limit of each kind; returns how many. For plinth_worker.';
