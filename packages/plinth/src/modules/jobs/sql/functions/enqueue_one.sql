-- One job without more, as write_effects writes it, by a prepared CALL: no document to read. The tenant is that of the transaction.
create or replace procedure plinth_jobs.enqueue_one(p_id uuid, p_kind text, p_name text, p_queue text, p_priority smallint, p_concurrency_key text, p_payload jsonb, p_max_attempts smallint,
  p_deadline timestamptz, p_actor_type text, p_actor_id text, p_correlation_id uuid, p_causation_id uuid)
language plpgsql security definer set search_path = ''
as $$
begin
  insert into plinth_jobs.jobs_ready (tenant_id, id, run_id, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, deadline, actor_type, actor_id, correlation_id, causation_id)
  values (plinth_kernel.require_tenant(), p_id, p_id, p_kind, p_name, coalesce(p_queue, 'default'), coalesce(p_priority, 5), (select s.last_value from plinth_jobs.open_slot s), coalesce(p_concurrency_key, ''),
    case when pg_catalog.pg_column_size(p_payload) < 40000 then p_payload else plinth_jobs.checked_payload(coalesce(p_payload, '{}')) end,
    p_max_attempts, p_deadline, p_actor_type, p_actor_id, p_correlation_id, p_causation_id);
end
$$;
comment on procedure plinth_jobs.enqueue_one(uuid, text, text, text, smallint, text, jsonb, smallint, timestamptz, text, text, uuid, uuid) is
  'Enqueues one job that may run at once, for the tenant of the transaction. Used by the TypeScript kernel.';
