-- Many jobs that differ in their payload only: {kind, queue, ..., more: {ids, payloads}}.
create or replace function plinth_jobs.write_bulk(p_row jsonb) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  insert into plinth_jobs.jobs_ready (tenant_id, id, run_id, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, deadline, actor_type, actor_id, correlation_id, causation_id)
  select c.tenant_id, x.id::uuid, x.id::uuid, e.kind, e.name, coalesce(e.queue, 'default'), coalesce(e.priority, 5), (select s.last_value from plinth_jobs.open_slot s), coalesce(e.concurrency_key, ''),
    case when pg_catalog.pg_column_size(x.payload) < 40000 then x.payload else plinth_jobs.checked_payload(x.payload) end,
    e.max_attempts, e.deadline, c.actor_type, c.actor_id, c.correlation_id, coalesce(e.causation_id, c.causation_id)
  from plinth_kernel.current_context() as c
  cross join pg_catalog.jsonb_to_record(p_row) as e (kind text, name text, queue text, priority smallint, concurrency_key text, max_attempts smallint, deadline timestamptz, causation_id uuid)
  cross join rows from (pg_catalog.jsonb_array_elements_text(p_row -> 'more' -> 'ids'), pg_catalog.jsonb_array_elements(p_row -> 'more' -> 'payloads')) as x (id, payload);
end
$$;
comment on function plinth_jobs.write_bulk(jsonb) is 'Enqueues many jobs of one kind and with the same options, {kind, name, queue, ..., more: {ids: [], payloads: []}}.';
