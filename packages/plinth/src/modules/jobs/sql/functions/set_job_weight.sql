create or replace function plinth.set_job_weight(p_weight integer, p_queue text default null, p_reason text default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _before integer;
begin
  perform plinth_kernel.require_worker();
  if p_weight not between 1 and 1000 or length(p_queue) > 100 then
    raise exception 'A weight is from 1 to 1,000, a queue has at most 100 characters' using errcode = 'PL422', detail = '{"code":"jobs_limit_invalid"}', hint = 'Twice the weight is twice the share; null goes back to 1.';
  end if;
  delete from plinth_jobs.weights w where w.tenant_id = _tenant and w.queue = coalesce(p_queue, '') returning w.weight into _before;
  if p_weight is not null then
    insert into plinth_jobs.weights (tenant_id, queue, weight) values (_tenant, coalesce(p_queue, ''), p_weight);
  end if;
  perform plinth_jobs.audit_limits(_tenant, 'job_weight.set', 'job_weight', _tenant, jsonb_build_object('weight', coalesce(_before, 1), 'queue', p_queue),
    jsonb_build_object('weight', coalesce(p_weight, 1), 'queue', p_queue), p_reason);
end
$$;
comment on function plinth.set_job_weight(integer, text, text) is
  'Sets the share of the tenant of the transaction beside other tenants with jobs of the same priority, in p_queue or all: 2 is twice that of 1. Null goes back to 1. For plinth_worker. Recorded in the audit log. Errors: jobs_limit_invalid, kernel_forbidden, kernel_tenant_required.';
