create or replace function plinth.pause_jobs(
  p_reason text,
  p_queue text default null,
  p_kind text default null,
  p_concurrency_key text default null,
  p_for interval default null
) returns uuid
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _pause plinth_jobs.pauses;
  _fault text := case
    when coalesce(length(trim(p_reason)), 0) not between 1 and 1000 then 'A pause needs a reason of 1 to 1,000 characters'
    when length(p_queue) not between 1 and 100 or length(p_kind) not between 1 and 200 or length(p_concurrency_key) not between 1 and 200
      then 'A queue has 1 to 100 characters, a kind and a concurrency key 1 to 200; null is any'
    when p_for <= interval '0' then 'A pause ends later than it begins'
  end;
begin
  if _fault is not null then
    raise exception '%', _fault using errcode = 'PL422', detail = '{"code":"jobs_limit_invalid"}', hint = 'Correct the argument.';
  end if;
  insert into plinth_jobs.pauses (tenant_id, source, queue, kind, concurrency_key, reason, ends_at)
  values (coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000'),
    case when plinth_kernel.is_worker() then 'installation' else 'tenant' end, p_queue, p_kind, p_concurrency_key, p_reason, coalesce(clock_timestamp() + p_for, 'infinity'))
  returning * into _pause;
  perform plinth_jobs.audit_limits(_pause.tenant_id, 'jobs.paused', 'job_pause', _pause.id, null, to_jsonb(_pause), p_reason);
  return _pause.id;
end
$$;
comment on function plinth.pause_jobs(text, text, text, text, interval) is
  'No job starts any more that has this queue, kind and concurrency key (null: any), until plinth.resume_jobs or for p_for. What runs goes on; what a worker has fetched ahead it gives back with its next sign of life, so for about a second jobs may still begin. For the tenant of the transaction; by plinth_worker without one: for every tenant. Returns the id of the pause. Recorded in the audit log. Errors: jobs_limit_invalid, kernel_tenant_required.';
