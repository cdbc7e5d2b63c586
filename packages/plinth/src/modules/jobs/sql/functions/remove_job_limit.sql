-- Another limit may hold in place of the one that is removed, whose cap did not count what runs. In place of one for each key of a tenant that may be one for a key of all tenants.
create or replace function plinth.remove_job_limit(p_id uuid, p_reason text default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _limit plinth_jobs.limits;
begin
  delete from plinth_jobs.limits l
  where l.tenant_id = coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') and l.id = p_id
    and (l.source = 'tenant' or plinth_kernel.is_worker())
  returning * into _limit;
  if _limit.id is null then
    raise exception 'There is no limit % that this tenant has set', p_id using errcode = 'PL404', detail = '{"code":"jobs_limit_not_found"}', hint = 'Look at plinth.job_limits; limits of the installation are removed by operators.';
  end if;
  update plinth_jobs.limits l set recount_until = 'infinity'
  where l.tenant_id in (_limit.tenant_id, '00000000-0000-0000-0000-000000000000') and l.source = _limit.source and l.per = _limit.per and l.queue = _limit.queue and l.max_running is not null
    and (_limit.concurrency_key = '' or l.concurrency_key in ('', _limit.concurrency_key));
  if found then
    perform plinth_jobs.hold_running(nullif(_limit.tenant_id, '00000000-0000-0000-0000-000000000000'));
  end if;
  perform plinth_jobs.audit_limits(_limit.tenant_id, 'job_limit.removed', 'job_limit', _limit.id, to_jsonb(_limit) - 'recount_until', null, p_reason);
end
$$;
comment on function plinth.remove_job_limit(uuid, text) is 'Removes a limit of the tenant of the transaction; by plinth_worker without one: of the installation. Recorded in the audit log. Errors: jobs_limit_not_found, kernel_tenant_required.';
