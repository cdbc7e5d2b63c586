-- Definer: tenants read the policies, and change them only here.
create or replace function plinth.set_queue_retention(p_queue text, p_keep interval, p_reason text default null) returns uuid
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant uuid := coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000');
  _before jsonb;
  _after plinth_jobs.queue_retention;
begin
  if coalesce(length(p_queue), 0) not between 1 and 100 or p_keep not between interval '1 hour' and interval '10 years' or length(p_reason) > 1000 then
    raise exception 'A queue has 1 to 100 characters, its jobs are kept for 1 hour to 10 years, a reason has at most 1,000 characters' using errcode = 'PL422',
      detail = '{"code":"jobs_retention_invalid"}', hint = 'Correct the argument; null instead of a time lets the queue be kept as long as the others.';
  end if;
  select to_jsonb(q) into _before from plinth_jobs.queue_retention q where q.tenant_id = _tenant and q.queue = p_queue for update;
  if p_keep is null then
    delete from plinth_jobs.queue_retention q where q.tenant_id = _tenant and q.queue = p_queue returning * into _after;
    if _after.id is not null then
      perform plinth_jobs.audit_limits(_tenant, 'job_retention.removed', 'job_retention', _after.id, _before, null, p_reason);
    end if;
    return _after.id;
  end if;
  insert into plinth_jobs.queue_retention as q (tenant_id, queue, keep, reason) values (_tenant, p_queue, p_keep, p_reason)
  on conflict (tenant_id, queue) do update set keep = excluded.keep, reason = excluded.reason, set_by = excluded.set_by, updated_at = clock_timestamp()
  returning * into _after;
  perform plinth_jobs.audit_limits(_tenant, 'job_retention.set', 'job_retention', _after.id, _before, to_jsonb(_after), p_reason);
  return _after.id;
end
$$;
comment on function plinth.set_queue_retention(text, interval, text) is
  'Keeps completed and cancelled jobs of a queue for p_keep (1 hour to 10 years) after their end; null: as long as those of other queues. For the tenant of the transaction; by plinth_worker without one: for every tenant that has not said otherwise. Returns the id of the policy. Recorded in the audit log. Errors: jobs_retention_invalid, kernel_tenant_required.';
