create or replace function plinth_jobs.complete_in(p_id uuid, p_run_id uuid, p_result jsonb default null) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform from plinth_jobs.settle(jsonb_build_array(jsonb_build_object('tenant_id', plinth_kernel.tenant_id(), 'id', p_id, 'run_id', p_run_id, 'outcome', 'completed', 'result', p_result))) s where s.run_id is not null;
  if not found then
    raise exception 'Attempt % does not hold job % any more', p_run_id, p_id using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_lease_lost', 'job_id', p_id, 'run_id', p_run_id)::text, hint = 'Stop: another attempt has taken over, or the job was cancelled.';
  end if;
end
$$;
comment on function plinth_jobs.complete_in(uuid, uuid, jsonb) is
  'Completes a job in the transaction of its handler, so that its effects and its completion commit together. Error: jobs_lease_lost, which rolls both back.';
