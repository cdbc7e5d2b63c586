-- Writes the jobs that a transaction collected: [{id, kind, ...}]. One statement, no lock on a shared row, no NOTIFY, no counter; the
-- context is read once. A row whose unique key is taken by a live job is left out: `on conflict` without a target, because the unique
-- index stands on one partition only.
create or replace function plinth_jobs.write_effects(p_rows jsonb) returns void
language plpgsql volatile security invoker
as $$
begin
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, payload, max_attempts, unique_key, run_at, actor_type, actor_id, correlation_id, causation_id)
  select c.tenant_id, e.id, e.kind, e.name, coalesce(e.queue, 'default'), case when t.run_at > pg_catalog.clock_timestamp() then 'scheduled' else 'pending' end,
    coalesce(e.priority, 5), plinth_jobs.checked_payload(coalesce(e.payload, '{}')), coalesce(e.max_attempts, k.max_attempts, 3), e.unique_key,
    t.run_at, c.actor_type, c.actor_id, c.correlation_id, coalesce(e.causation_id, c.causation_id)
  from plinth_kernel.current_context() as c
  cross join pg_catalog.jsonb_to_recordset(p_rows) as e (id uuid, kind text, name text, queue text, priority smallint, payload jsonb, max_attempts smallint,
    unique_key text, run_at timestamptz, delay_ms double precision, causation_id uuid)
  left join plinth_jobs.kinds k on k.kind = e.kind
  cross join lateral (
    select coalesce(e.run_at, pg_catalog.clock_timestamp() + coalesce(e.delay_ms, 0) * interval '1 millisecond') as run_at offset 0
  ) as t
  on conflict do nothing;
end
$$;
comment on function plinth_jobs.write_effects(jsonb) is
  'Enqueues collected jobs, [{id, kind, name, queue, priority, payload, max_attempts, unique_key, run_at | delay_ms, causation_id}], for the tenant of the transaction.';
