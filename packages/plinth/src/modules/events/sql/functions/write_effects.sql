-- Writes the events that a transaction collected. Without a stream, a key or a warning among them it is one insert, whatever their number.
create or replace function plinth_events.write_effects(p_rows jsonb) returns void
language plpgsql volatile security invoker
as $$
begin
  if p_rows @? '$[*] ? (exists (@.aggregate_id) || exists (@.idempotency_key) || exists (@.warnings))' then
    if pg_catalog.jsonb_array_length(p_rows) = 1 then
      perform plinth_events.write_one(p_rows -> 0);
    else
      perform plinth_events.write_rows(p_rows);
    end if;
    return;
  end if;
  insert into plinth_events.events (tenant_id, shard, id, type, type_version, payload, metadata, actor_type, actor_id, correlation_id, causation_id, occurred_at)
  select c.tenant_id, plinth_kernel.shard_of(c.tenant_id), e.id, e.type, e.type_version, e.payload, e.metadata, c.actor_type, c.actor_id,
    coalesce(e.correlation_id, c.correlation_id), coalesce(e.causation_id, c.causation_id), e.occurred_at
  from plinth_kernel.current_context() as c
  cross join pg_catalog.jsonb_to_recordset(p_rows) as e (id uuid, type text, type_version integer, payload jsonb, metadata jsonb, correlation_id uuid, causation_id uuid, occurred_at timestamptz);
end
$$;
comment on function plinth_events.write_effects(jsonb) is 'Writes collected events, [{id, type, payload, ...}], for the tenant of the transaction. Errors: those of write_rows.';
