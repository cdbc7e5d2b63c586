-- Writes the jobs that a transaction collected: [{id, kind, ...}]. No lock on a shared row, no NOTIFY, no counter. With its owner's
-- rights, because jobs go straight into the ring, past the two levels of partitions above it; the tenant is always that of the
-- transaction. What only some jobs need stands under `more`, so that one look tells whether there is any.
create or replace function plinth_jobs.write_effects(p_rows jsonb) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  if p_rows @? '$[*].more' then
    perform plinth_jobs.write_special(p_rows);
    return;
  end if;
  insert into plinth_jobs.jobs_ready (tenant_id, id, run_id, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, deadline, actor_type, actor_id, correlation_id, causation_id)
  select c.tenant_id, e.id, e.id, e.kind, e.name, coalesce(e.queue, 'default'), coalesce(e.priority, 5), (select s.last_value from plinth_jobs.open_slot s), coalesce(e.concurrency_key, ''),
    case when pg_catalog.pg_column_size(e.payload) < 40000 then e.payload else plinth_jobs.checked_payload(coalesce(e.payload, '{}')) end,
    e.max_attempts, e.deadline, c.actor_type, c.actor_id, c.correlation_id, coalesce(e.causation_id, c.causation_id)
  from plinth_kernel.current_context() as c
  cross join pg_catalog.jsonb_to_recordset(p_rows) as e (id uuid, kind text, name text, queue text, priority smallint, concurrency_key text, payload jsonb, max_attempts smallint,
    deadline timestamptz, causation_id uuid);
end
$$;
comment on function plinth_jobs.write_effects(jsonb) is
  'Enqueues collected jobs, [{id, kind, name, queue, priority, concurrency_key, payload, max_attempts, deadline, causation_id, more}], for the tenant of the transaction. more: see plinth_jobs.write_special.';
