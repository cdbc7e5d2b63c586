create or replace function plinth.resume_jobs(p_id uuid, p_reason text default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _pause plinth_jobs.pauses;
begin
  update plinth_jobs.pauses p set ends_at = clock_timestamp(), resumed_by = coalesce(plinth_kernel.setting('actor_id'), session_user)
  where p.tenant_id = coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') and p.id = p_id
    and p.ends_at > clock_timestamp() and (p.source = 'tenant' or plinth_kernel.is_worker())
  returning * into _pause;
  if _pause.id is null then
    raise exception 'There is no pause % in force that this tenant has made', p_id using errcode = 'PL404', detail = '{"code":"jobs_pause_not_found"}', hint = 'Look at plinth.job_pauses; pauses of the installation are ended by operators.';
  end if;
  perform plinth_jobs.audit_limits(_pause.tenant_id, 'jobs.resumed', 'job_pause', _pause.id, to_jsonb(_pause), null, p_reason);
end
$$;
comment on function plinth.resume_jobs(uuid, text) is
  'Ends a pause of the tenant of the transaction; by plinth_worker without one: of the installation. Recorded in the audit log. Errors: jobs_pause_not_found, kernel_tenant_required.';
