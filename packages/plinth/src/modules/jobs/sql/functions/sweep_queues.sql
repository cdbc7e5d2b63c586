-- Only queues that are kept shorter than their partition have anything here. By the time of the attempt first, so that young partitions are not
-- read; a job ends after its last attempt began. Jobs of whoever is placing a legal hold wait for the next sweep.
create or replace function plinth_jobs.sweep_queues(p_limit integer default 5000) returns integer
language plpgsql volatile security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _policy plinth_jobs.queue_retention;
  _unsettled integer[];
  _left integer := least(greatest(p_limit, 1), 5000);
  _swept integer := 0;
  _some integer;
begin
  perform plinth_kernel.require_worker();
  _unsettled := plinth_kernel.retention_unsettled();
  if hashtext(_nil::text) = any (_unsettled) then
    return 0;
  end if;
  for _policy in select * from plinth_jobs.queue_retention q order by q.queue, q.tenant_id loop
    with old as materialized (
      select r.tenant_id, r.id, r.run_id from plinth_jobs.jobs_run r
      where r.queue = _policy.queue and r.run_id < plinth_kernel.v7_floor(now() - _policy.keep) and r.finished_at < now() - _policy.keep and r.status in ('completed', 'cancelled')
        and case when _policy.tenant_id <> _nil then r.tenant_id = _policy.tenant_id
          else not exists (select from plinth_jobs.queue_retention own where own.queue = r.queue and own.tenant_id = r.tenant_id) end
        and hashtext(r.tenant_id::text) <> all (_unsettled)
        and not exists (select from plinth_kernel.retention_holds h where h.released_at is null and (h.kind is null or h.kind = 'jobs.jobs') and h.tenant_id in (r.tenant_id, _nil))
      limit _left for update skip locked
    )
    delete from plinth_jobs.jobs_run r using old o where r.tenant_id = o.tenant_id and r.id = o.id and r.run_id = o.run_id;
    get diagnostics _some = row_count;
    _swept := _swept + _some;
    _left := _left - _some;
    exit when _left = 0;
  end loop;
  return _swept;
end
$$;
comment on function plinth_jobs.sweep_queues(integer) is
  'Deletes at most p_limit (5,000) finished jobs of queues that are kept for a shorter time, none under a legal hold, and returns how many. Call it until it returns 0. For plinth_worker.';
