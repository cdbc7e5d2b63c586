-- Definer: tenants read their limits, and change them only here. Jobs that run already are counted from the start. A claim does not see the limit
-- until this transaction has committed: what is claimed before is counted by upkeep (plinth_jobs.tidy_limits).
create or replace function plinth.set_job_limit(
  p_per text,
  p_max_running integer default null,
  p_rate integer default null,
  p_rate_period interval default '1 second',
  p_burst integer default null,
  p_queue text default null,
  p_concurrency_key text default null,
  p_reason text default null
) returns uuid
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _tenant uuid := coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), _nil);
  _source text := case when plinth_kernel.is_worker() then 'installation' else 'tenant' end;
  _burst integer;
  _before jsonb;
  _limit plinth_jobs.limits;
  _fault text;
begin
  _fault := case
    when p_per is null or p_per not in ('queue', 'tenant', 'key') then 'A limit is per queue, tenant or key'
    when p_max_running is null and p_rate is null then 'A limit says how many may run at once, how many may start in a time, or both'
    when p_max_running not between 1 and 1000000 or p_rate not between 1 and 1000000 or p_burst not between 1 and 1000000 then 'Limits are from 1 to 1,000,000'
    when p_rate is not null and (p_rate_period is null or p_rate_period not between interval '1 second' and interval '31 days') then 'The time of a rate is from 1 second to 31 days'
    when p_per = 'queue' and (coalesce(p_queue, '') = '' or _tenant <> _nil) then 'A limit per queue names the queue and holds for all tenants: only an operator sets it, outside every tenant'
    when p_per <> 'key' and coalesce(p_concurrency_key, '') <> '' then 'Only a limit per key names a key'
    when length(p_queue) > 100 or length(p_concurrency_key) > 200 or length(p_reason) > 1000 then 'A queue has at most 100 characters, a key 200, a reason 1,000'
  end;
  if _fault is not null then
    raise exception '%', _fault using errcode = 'PL422', detail = '{"code":"jobs_limit_invalid"}', hint = 'Correct the argument; plinth.pause_jobs stops jobs altogether.';
  end if;
  -- By default what one second allows may start at once.
  _burst := case when p_rate is not null then coalesce(p_burst, greatest(1, ceil(p_rate / extract(epoch from p_rate_period)))::integer) end;
  select to_jsonb(l) into _before from plinth_jobs.limits l
  where l.tenant_id = _tenant and l.source = _source and l.per = p_per and l.queue = coalesce(p_queue, '') and l.concurrency_key = coalesce(p_concurrency_key, '') for update;
  insert into plinth_jobs.limits as l (tenant_id, source, per, queue, concurrency_key, max_running, rate, rate_period, burst, reason, recount_until)
  values (_tenant, _source, p_per, coalesce(p_queue, ''), coalesce(p_concurrency_key, ''), p_max_running, p_rate, case when p_rate is not null then p_rate_period end, _burst, p_reason,
    case when p_max_running is not null then timestamptz 'infinity' end)
  on conflict (tenant_id, source, per, queue, concurrency_key) do update set max_running = excluded.max_running, rate = excluded.rate, rate_period = excluded.rate_period,
    burst = excluded.burst, reason = excluded.reason, recount_until = excluded.recount_until, set_by = excluded.set_by, updated_at = clock_timestamp()
  returning * into _limit;
  if p_max_running is not null then
    perform plinth_jobs.hold_running(nullif(_tenant, _nil));
  end if;
  perform plinth_jobs.audit_limits(_tenant, 'job_limit.set', 'job_limit', _limit.id, _before - 'recount_until', to_jsonb(_limit) - 'recount_until', p_reason);
  return _limit.id;
end
$$;
comment on function plinth.set_job_limit(text, integer, integer, interval, integer, text, text, text) is
  'Sets how many jobs run at once (p_max_running, exact) and how many start in a time (p_rate in p_rate_period, p_burst of them at once), per queue (operators), tenant or concurrency key, in p_queue or all. For the tenant of the transaction; by plinth_worker without one: for every tenant. Replaces the limit with the same per, queue and key; returns its id. Recorded in the audit log. Errors: jobs_limit_invalid, kernel_tenant_required.';
