create or replace function plinth.place_legal_hold(p_reason text, p_kind text default null, p_entity text default null) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant constant uuid := plinth_kernel.require_own_tenant();
  _kind plinth_kernel.retention_kinds;
  _id uuid;
begin
  if coalesce(length(trim(p_reason)), 0) not between 1 and 1000 or length(p_entity) not between 1 and 500 then
    raise exception 'a legal hold needs a reason of 1 to 1,000 characters, and an entity pattern, if any, of 1 to 500' using errcode = 'PL422', detail = '{"code":"maintenance_hold_invalid"}', hint = 'Say which matter the rows are held for.';
  end if;
  if p_entity ~ '(^|[^\\])(\\\\)*\\$' then
    raise exception 'the entity pattern % ends in a backslash that escapes nothing', p_entity using errcode = 'PL422', detail = '{"code":"maintenance_hold_invalid"}', hint = 'Write \\ for a backslash.';
  end if;
  if p_kind is not null then
    _kind := plinth_maintenance.policy_kind(p_kind);
    if p_entity is not null and _kind.entity is null then
      raise exception '% does not tell which entity a row belongs to', p_kind using errcode = 'PL422', detail = '{"code":"maintenance_hold_invalid"}', hint = 'Hold the kind without an entity.';
    end if;
  end if;
  insert into plinth_kernel.retention_holds (tenant_id, kind, entity, reason) values (_tenant, p_kind, p_entity, p_reason) returning id into _id;
  perform plinth.log_audit_event(p_action := 'legal_hold.placed', p_resource_type := 'legal_hold', p_resource_id := _id::text,
    p_after := jsonb_build_object('kind', p_kind, 'entity', p_entity), p_reason := p_reason, p_severity := 'warning');
  return _id;
end
$$;
comment on function plinth.place_legal_hold(text, text, text) is
  'Keeps rows of the tenant of the transaction whatever the policies say, until the hold is released; returns its id. p_kind: null is every kind. p_entity: LIKE pattern over entities (order:47%); kinds that do not tell their entity are then held whole. Recorded in the audit log. Errors: maintenance_hold_invalid, maintenance_kind_unknown, kernel_tenant_required, kernel_forbidden.';
