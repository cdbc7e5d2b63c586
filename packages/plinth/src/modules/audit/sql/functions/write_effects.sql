-- Writes the entries that a transaction collected: [{id, action, ...}]. One statement, whatever their number; the context
-- is read once, not once a row. plpgsql, because it keeps its plan on every version of Postgres; sql functions do so only from 18.
create or replace function plinth_audit.write_effects(p_rows jsonb) returns void
language plpgsql volatile security invoker
as $$
begin
  insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, actor_type, actor_id, before, after, parent_id,
    compliance_flags, severity, reason, ip, user_agent, metadata, correlation_id, causation_id, request_id)
  select c.tenant_id, e.id, e.action, e.entity_type, e.entity_id, c.actor_type, c.actor_id, e.before, e.after, e.parent_id,
    e.compliance_flags, coalesce(e.severity, 'info'), coalesce(e.reason, c.reason), c.ip, c.user_agent, e.metadata, c.correlation_id, c.causation_id, c.request_id
  from plinth_kernel.current_context() as c
  cross join pg_catalog.jsonb_to_recordset(p_rows) as e (id uuid, action text, entity_type text, entity_id text, before jsonb, after jsonb, parent_id uuid,
    compliance_flags text[], severity text, reason text, metadata jsonb);
end
$$;
comment on function plinth_audit.write_effects(jsonb) is 'Writes collected audit entries, [{id, action, entity_type, ...}], for the tenant of the transaction.';
