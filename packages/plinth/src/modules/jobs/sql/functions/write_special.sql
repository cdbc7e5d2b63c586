-- A row whose unique key is taken by a job that has not ended is left out; it waits while that job's transaction is open.
create or replace function plinth_jobs.write_special(p_rows jsonb) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  with given as materialized (
    select e.*, coalesce(e.run_at, clock_timestamp() + coalesce(e.delay_ms, 0) * interval '1 millisecond') as at, c as context
    from plinth_kernel.current_context() as c
    cross join jsonb_to_recordset(p_rows) as e (id uuid, kind text, name text, queue text, priority smallint, concurrency_key text, payload jsonb, max_attempts smallint,
      unique_key text, run_at timestamptz, delay_ms double precision, deadline timestamptz, causation_id uuid)
  ), taken as (
    insert into plinth_jobs.unique_keys (tenant_id, kind, key, job_id)
    select (g.context).tenant_id, g.kind, g.unique_key, g.id from given g where g.unique_key is not null
    on conflict do nothing returning job_id
  )
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, max_attempts, unique_key, linked, run_at, deadline, actor_type, actor_id, correlation_id, causation_id)
  select (g.context).tenant_id, g.id, g.kind, g.name, coalesce(g.queue, 'default'), case when g.at > clock_timestamp() then 'scheduled' else 'pending' end, coalesce(g.priority, 5),
    (select s.last_value from plinth_jobs.open_slot s), coalesce(g.concurrency_key, ''), plinth_jobs.checked_payload(coalesce(g.payload, '{}')), g.max_attempts, g.unique_key,
    g.unique_key is not null, g.at, g.deadline, (g.context).actor_type, (g.context).actor_id, (g.context).correlation_id, coalesce(g.causation_id, (g.context).causation_id)
  from given g where g.unique_key is null or g.id in (select t.job_id from taken t);
end
$$;
comment on function plinth_jobs.write_special(jsonb) is 'plinth_jobs.write_effects for jobs of which some have a time or a unique key.';
