-- The last resort. The row stays where it is, so that nothing of it can be refused; what is linked to it is released if that is possible.
create or replace function plinth_jobs.set_aside(p_tenant_id uuid, p_id uuid, p_run_id uuid, p_error text) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _job plinth_jobs.jobs;
  _constraint text;
begin
  perform plinth_kernel.require_worker();
  update plinth_jobs.jobs_run j set status = 'cancelled', error = left(p_error, 4000), finished_at = clock_timestamp()
  where j.tenant_id = p_tenant_id and j.id = p_id and j.run_id = p_run_id and j.status = 'processing'
  returning j.* into _job;
  if _job.id is null then
    return false;
  end if;
  if _job.linked then
    begin
      perform plinth_jobs.settle_linked(jsonb_build_array(jsonb_build_object('tenant_id', p_tenant_id, 'id', p_id, 'run_id', p_run_id, 'kind', _job.kind, 'unique_key', _job.unique_key, 'status', 'cancelled')));
    exception
      when others then
        get stacked diagnostics _constraint = constraint_name;
        if not plinth_jobs.is_refusal(sqlstate, _constraint) then
          raise;
        end if;
        update plinth_jobs.jobs_run j set error = left(format('%s; what it held was not released: %s', p_error, sqlerrm), 4000)
        where j.tenant_id = p_tenant_id and j.id = p_id and j.run_id = p_run_id;
    end;
  end if;
  return true;
end
$$;
comment on function plinth_jobs.set_aside(uuid, uuid, uuid, text) is
  'Ends an attempt whose outcome the database refuses, and whose failure it refuses too: the job is cancelled with p_error, so that it holds up no other. False: another attempt has taken over.';
