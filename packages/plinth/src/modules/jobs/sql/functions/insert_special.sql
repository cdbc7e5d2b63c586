-- The rows of write_special that are to be written, without what they are linked to.
create or replace function plinth_jobs.insert_special(p_rows jsonb, p_waited_for uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, max_attempts, unique_key, linked, run_at, deadline, actor_type, actor_id, correlation_id, causation_id)
  select c.tenant_id, e.id, e.kind, e.name, coalesce(e.queue, 'default'), case when t.at > clock_timestamp() then 'scheduled' else 'pending' end, coalesce(e.priority, 5),
    (select s.last_value from plinth_jobs.open_slot s), coalesce(e.concurrency_key, ''), plinth_jobs.checked_payload(coalesce(e.payload, '{}')), e.max_attempts, m.unique_key,
    m.unique_key is not null or m.batch_id is not null or m.depends_on is not null or m.backoff is not null or e.id = any (p_waited_for),
    t.at, e.deadline, c.actor_type, c.actor_id, c.correlation_id, coalesce(e.causation_id, c.causation_id)
  from plinth_kernel.current_context() as c
  cross join jsonb_to_recordset(p_rows) as e (id uuid, kind text, name text, queue text, priority smallint, concurrency_key text, payload jsonb, max_attempts smallint, deadline timestamptz,
    causation_id uuid, more jsonb)
  cross join lateral jsonb_to_record(coalesce(e.more, '{}')) as m (run_at timestamptz, delay_ms double precision, unique_key text, batch_id uuid, depends_on jsonb, backoff jsonb)
  cross join lateral (
    select case when m.depends_on is not null then 'infinity' else coalesce(m.run_at, clock_timestamp() + coalesce(m.delay_ms, 0) * interval '1 millisecond') end as at offset 0) as t;
end
$$;
comment on function plinth_jobs.insert_special(jsonb, uuid[]) is 'Inserts jobs of plinth_jobs.write_special; p_waited_for: jobs that others of the same call depend on.';
