-- Nothing that is held goes, as in plinth_jobs.sweep_queues; dead letters of whoever is placing a legal hold wait for the next time.
create or replace function plinth_jobs.purge_failed(p_older_than interval default interval '30 days', p_limit integer default 1000) returns bigint
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _unsettled integer[] := plinth_kernel.retention_unsettled();
  _purged bigint;
begin
  if hashtext(_nil::text) = any (_unsettled) then
    return 0;
  end if;
  with old as materialized (
    select j.tenant_id, j.id from plinth_jobs.jobs j
    where j.status = 'failed' and j.finished_at < (select clock_timestamp()) - p_older_than
      and hashtext(j.tenant_id::text) <> all (_unsettled)
      and not exists (select from plinth_kernel.retention_holds h where h.released_at is null and (h.kind is null or h.kind = 'jobs.jobs') and h.tenant_id in (j.tenant_id, _nil))
    limit p_limit for update of j skip locked
  )
  delete from plinth_jobs.jobs j using old o where j.status = 'failed' and j.tenant_id = o.tenant_id and j.id = o.id;
  get diagnostics _purged = row_count;
  return _purged;
end
$$;
comment on function plinth_jobs.purge_failed(interval, integer) is 'Deletes dead letters that failed longer ago than p_older_than, at most p_limit, none under a legal hold. Returns how many.';
