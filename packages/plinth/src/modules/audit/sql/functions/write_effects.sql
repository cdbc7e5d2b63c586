-- Writes the entries that a transaction collected: [{id, action, ...}]. One statement, whatever their number.
create or replace function plinth_audit.write_effects(p_rows jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, before, after, parent_id, compliance_flags, severity, reason, metadata)
  select plinth_kernel.tenant_id(), e.id, e.action, e.entity_type, e.entity_id, e.before, e.after, e.parent_id, coalesce(e.compliance_flags, '{}'),
    coalesce(e.severity, 'info'), coalesce(e.reason, plinth_kernel.setting('reason')), coalesce(e.metadata, '{}')
  from jsonb_to_recordset(p_rows) as e (id uuid, action text, entity_type text, entity_id text, before jsonb, after jsonb, parent_id uuid,
    compliance_flags text[], severity text, reason text, metadata jsonb)
$$;
comment on function plinth_audit.write_effects(jsonb) is 'Writes collected audit entries, [{id, action, entity_type, ...}], for the tenant of the transaction.';
