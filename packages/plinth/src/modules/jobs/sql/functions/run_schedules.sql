-- A batch of schedules that were due, as the scheduler worked them out: [{tenant_id, id, tick, next, error, note, runs: [{id, at, since, late}]}].
-- A schedule must still await exactly the tick it was read with, so that of any number of processes one enqueues. The jobs of a tenant
-- are written together, in its context. A payload or a tenant that the jobs table refuses stops its own schedule, not the batch. Where a schedule may
-- not overlap and a transaction is just taking or releasing its unique key, the job of the earlier tick has not finished: nobody waits for that.
create or replace function plinth_jobs.run_schedules(p_rows jsonb) returns setof uuid
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '50ms'
as $$
declare
  _now timestamptz := clock_timestamp();
  _outer jsonb := jsonb_build_object('tenant_id', current_setting('plinth.tenant_id', true), 'actor_type', current_setting('plinth.actor_type', true),
    'actor_id', current_setting('plinth.actor_id', true), 'causation_id', current_setting('plinth.causation_id', true), 'correlation_id', current_setting('plinth.correlation_id', true));
  _jobs jsonb;
  _part record;
  _failed uuid[] := '{}';
  _busy uuid[] := '{}';
begin
  with given as materialized (
    select g.*, (select max((r ->> 'at')::timestamptz) from jsonb_array_elements(g.runs) as r) as last_at, (g.runs -> -1 ->> 'id')::uuid as last_id
    from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, tick timestamptz, next timestamptz, error text, note text, runs jsonb)
  ), moved as (
    update plinth_jobs.schedules s
    set next_run_at = coalesce(g.next, s.next_run_at), error = left(g.error, 1000), note = left(coalesce(g.note, s.note), 1000),
      -- Of a schedule that does not overlap, these are set when its job is known to have been written.
      last_run_at = case when s.skip_if_running then s.last_run_at else coalesce(g.last_at, s.last_run_at) end,
      last_job_id = case when s.skip_if_running then s.last_job_id else coalesce(g.last_id, s.last_job_id) end
    from given g
    where s.tenant_id = g.tenant_id and s.id = g.id and s.enabled and s.error is null and s.next_run_at is not distinct from g.tick
    returning s.*, g.runs
  ), jobs as (
    select m.tenant_id, m.id as schedule_id, m.skip_if_running, r.at, row_number() over () as position,
      -- A job from before skip_if_running was set has no key.
      m.skip_if_running and exists (select from plinth.background_jobs b where b.tenant_id = m.tenant_id and b.id = m.last_job_id and b.status in ('scheduled', 'pending', 'processing')) as overlaps,
      jsonb_build_object('id', r.id, 'kind', m.kind, 'name', m.name, 'queue', m.queue, 'priority', m.priority, 'max_attempts', m.max_attempts,
        'payload', m.payload || jsonb_strip_nulls(jsonb_build_object(
          'scheduled_for', to_char(r.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
          'missed_since', to_char(r.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
        'more', case when m.skip_if_running then jsonb_build_object('unique_key', 'schedule:' || m.id) else '{}' end || jsonb_build_object('run_at', case when r.late then _now + t.position * interval '1 microsecond' else r.at end
          + ('x' || encode(substr(sha256(uuid_send(m.id)), 1, 4), 'hex'))::bit(32)::bigint % (m.jitter_ms + 1) * interval '1 millisecond'),
        'correlation_id', plinth_kernel.uuid_v7(), 'causation_id', m.id) as job
    from moved m
    cross join lateral jsonb_array_elements(m.runs) with ordinality as t (run, position)
    cross join lateral jsonb_to_record(t.run) as r (id uuid, at timestamptz, since timestamptz, late boolean)
  )
  select jsonb_agg(jsonb_build_object('tenant_id', j.tenant_id, 'schedule_id', j.schedule_id, 'exclusive', j.skip_if_running, 'overlaps', j.overlaps, 'at', j.at, 'job', j.job) order by j.position)
  into _jobs from jobs j;
  if _jobs is null then
    return;
  end if;

  perform set_config('plinth.actor_type', 'system', true), set_config('plinth.actor_id', 'scheduler', true), set_config('plinth.causation_id', '', true);
  begin
    -- At most 4 MiB of payloads at a time.
    for _part in
      select p.tenant_id, jsonb_agg(p.job order by p.position) as jobs
      from (select (e ->> 'tenant_id')::uuid as tenant_id, e -> 'job' as job, n as position,
          sum(octet_length(e ->> 'job')) over (partition by e ->> 'tenant_id' order by n) / 4194304 as chunk
        from jsonb_array_elements(_jobs) with ordinality as t (e, n) where not (e ->> 'overlaps')::boolean) as p
      group by p.tenant_id, p.chunk
    loop
      perform set_config('plinth.tenant_id', _part.tenant_id::text, true), set_config('plinth.correlation_id', plinth_kernel.uuid_v7()::text, true);
      perform plinth_jobs.write_effects(_part.jobs);
    end loop;
  exception
    when others then
      if sqlstate <> '55P03' and not plinth_jobs.is_schedule_fault(sqlstate) then
        raise;
      end if;
      for _part in
        select (e ->> 'tenant_id')::uuid as tenant_id, (e ->> 'schedule_id')::uuid as schedule_id, jsonb_agg(e -> 'job' order by n) as jobs
        from jsonb_array_elements(_jobs) with ordinality as t (e, n) where not (e ->> 'overlaps')::boolean group by 1, 2
      loop
        begin
          -- Of each tenant one is waited for.
          if _part.tenant_id = any (_busy) then
            raise lock_not_available;
          end if;
          perform set_config('plinth.tenant_id', _part.tenant_id::text, true), set_config('plinth.correlation_id', plinth_kernel.uuid_v7()::text, true);
          perform plinth_jobs.write_effects(_part.jobs);
        exception
          when lock_not_available then
            _busy := _busy || _part.tenant_id;
          when others then
            if not plinth_jobs.is_schedule_fault(sqlstate) then
              raise;
            end if;
            update plinth_jobs.schedules s set error = left(sqlerrm, 1000) where s.tenant_id = _part.tenant_id and s.id = _part.schedule_id;
            _failed := _failed || _part.schedule_id;
        end;
      end loop;
  end;
  perform set_config('plinth.' || o.key, coalesce(o.value, ''), true) from jsonb_each_text(_outer) as o;

  return query
  with asked as materialized (
    select (e ->> 'tenant_id')::uuid as tenant_id, (e ->> 'schedule_id')::uuid as schedule_id, (e ->> 'exclusive')::boolean as exclusive, (e ->> 'at')::timestamptz as at, (e -> 'job' ->> 'id')::uuid as job_id
    from jsonb_array_elements(_jobs) as e where (e ->> 'schedule_id')::uuid <> all (_failed)
  ), exclusive as (
    select a.*, exists (select from plinth.background_jobs j where j.tenant_id = a.tenant_id and j.id = a.job_id) as written from asked a where a.exclusive
  ), told as (
    update plinth_jobs.schedules s
    set last_run_at = case when x.written then x.at else s.last_run_at end, last_job_id = case when x.written then x.job_id else s.last_job_id end,
      note = case when x.written then s.note else 'the tick of ' || to_char(x.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || ' was left out: the job of an earlier one has not finished' end
    from exclusive x where s.tenant_id = x.tenant_id and s.id = x.schedule_id
    returning x.job_id, x.written
  )
  select a.job_id from asked a where not a.exclusive union all select d.job_id from told d where d.written;
end
$$;
comment on function plinth_jobs.run_schedules(jsonb) is
  'Enqueues the jobs of the ticks that schedules await and sets their next ones, [{tenant_id, id, tick, next, error, note, runs: [{id, at, since, late}]}]. Returns the ids of the jobs; a schedule that another process ran first is left out.';
