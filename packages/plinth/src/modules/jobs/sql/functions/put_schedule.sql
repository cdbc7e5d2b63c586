create or replace function plinth_jobs.put_schedule(p_schedule jsonb) returns uuid
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_jobs.schedules as s (tenant_id, name, cron, time_zone, kind, payload, queue, priority, max_attempts, enabled, source, next_run_at,
    missed_runs, catch_up_limit, jitter_ms, starts_at, ends_at, skip_if_running, note)
  select coalesce(e.tenant_id, plinth_kernel.require_tenant()), e.name, e.cron, coalesce(e.time_zone, 'UTC'), e.kind, coalesce(e.payload, '{}'), coalesce(e.queue, 'default'),
    coalesce(e.priority, 5), e.max_attempts, coalesce(e.enabled, true), coalesce(e.source, 'api'), case when coalesce(e.enabled, true) then e.next_run_at end,
    coalesce(e.missed_runs, 'once'), coalesce(e.catch_up_limit, 1000), coalesce(e.jitter_ms, 0), e.starts_at, e.ends_at, coalesce(e.skip_if_running, false), e.note
  from jsonb_to_record(p_schedule) as e (tenant_id uuid, name text, cron text, time_zone text, kind text, payload jsonb, queue text, priority smallint,
    max_attempts smallint, enabled boolean, source text, next_run_at timestamptz, missed_runs text, catch_up_limit smallint, jitter_ms integer, starts_at timestamptz,
    ends_at timestamptz, skip_if_running boolean, note text)
  on conflict (tenant_id, name) do update set
    cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, payload = excluded.payload, queue = excluded.queue, priority = excluded.priority,
    max_attempts = excluded.max_attempts, source = excluded.source, missed_runs = excluded.missed_runs, catch_up_limit = excluded.catch_up_limit,
    jitter_ms = excluded.jitter_ms, starts_at = excluded.starts_at, ends_at = excluded.ends_at, skip_if_running = excluded.skip_if_running, note = excluded.note,
    updated_at = clock_timestamp(), error = null,
    -- A schedule from a card keeps the switch that an operator has set.
    enabled = case when excluded.source = 'card' then s.enabled else excluded.enabled end,
    next_run_at = case
      when excluded.source = 'api' and not excluded.enabled then null
      -- Due and not run yet: an edit loses no tick. One that had stopped or was paused owes none.
      when s.enabled and s.error is null and s.next_run_at <= clock_timestamp() then s.next_run_at
      when s.enabled and s.error is null
        and (s.cron, s.time_zone, s.starts_at, s.ends_at) is not distinct from (excluded.cron, excluded.time_zone, excluded.starts_at, excluded.ends_at) then s.next_run_at
      -- Worked out before the scheduler ran that very tick: a tick has one job.
      when excluded.next_run_at <= s.last_run_at then null
      else excluded.next_run_at
    end
  -- What an operator has made of a schedule from a card stays, until it is deleted.
  where excluded.source = 'api' or s.source = 'card'
  returning s.id
$$;
comment on function plinth_jobs.put_schedule(jsonb) is
  'Makes or changes the schedule of that name, {name, cron, time_zone, kind, payload, queue, priority, max_attempts, enabled, missed_runs, catch_up_limit, jitter_ms, starts_at, ends_at, skip_if_running, next_run_at, note}. A null next_run_at is worked out by the scheduler. Returns its id.';
