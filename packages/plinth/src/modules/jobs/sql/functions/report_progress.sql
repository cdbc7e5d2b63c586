create or replace function plinth_jobs.report_progress(p_id uuid, p_run_id uuid, p_percent integer, p_note text default null) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  update plinth_jobs.jobs j set progress = least(100, greatest(0, p_percent)), progress_note = left(p_note, 1000)
  where j.status = 'processing' and j.tenant_id = plinth_kernel.tenant_id() and j.id = p_id and j.run_id = p_run_id;
  if not found then
    raise exception 'Attempt % does not hold job % any more', p_run_id, p_id using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_lease_lost', 'job_id', p_id, 'run_id', p_run_id)::text, hint = 'Stop: another attempt has taken over, or the job was cancelled.';
  end if;
end
$$;
comment on function plinth_jobs.report_progress(uuid, uuid, integer, text) is 'Sets the progress of a running job, 0 to 100, and a note. Error: jobs_lease_lost.';
