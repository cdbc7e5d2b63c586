create or replace function plinth_jobs.put_schedule(p_schedule jsonb) returns uuid
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_jobs.schedules as s (tenant_id, name, cron, time_zone, kind, payload, queue, priority, max_attempts, enabled, source, next_run_at)
  select coalesce(e.tenant_id, plinth_kernel.require_tenant()), e.name, e.cron, coalesce(e.time_zone, 'UTC'), e.kind, coalesce(e.payload, '{}'), coalesce(e.queue, 'default'),
    coalesce(e.priority, 5), e.max_attempts, coalesce(e.enabled, true), coalesce(e.source, 'api'), e.next_run_at
  from jsonb_to_record(p_schedule) as e (tenant_id uuid, name text, cron text, time_zone text, kind text, payload jsonb, queue text, priority smallint,
    max_attempts smallint, enabled boolean, source text, next_run_at timestamptz)
  on conflict (tenant_id, name) do update set
    cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, payload = excluded.payload, queue = excluded.queue, priority = excluded.priority,
    max_attempts = excluded.max_attempts, source = excluded.source, updated_at = clock_timestamp(), error = null,
    -- A schedule from a card keeps the switch that an operator has set.
    enabled = case when excluded.source = 'card' then s.enabled else excluded.enabled end,
    next_run_at = case when (s.cron, s.time_zone, s.enabled) is distinct from (excluded.cron, excluded.time_zone, excluded.enabled) then excluded.next_run_at else s.next_run_at end
  returning s.id
$$;
comment on function plinth_jobs.put_schedule(jsonb) is
  'Makes or changes the schedule of that name, {name, cron, time_zone, kind, payload, queue, priority, max_attempts, enabled, next_run_at}. A null next_run_at is worked out by the scheduler. Returns its id.';
