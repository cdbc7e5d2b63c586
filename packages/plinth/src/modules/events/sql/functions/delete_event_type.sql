-- Definer rights for the reason of define_event_type. The rows stay: their numbers are in stored events, and their marks hold for events to come.
create or replace function plinth.delete_event_type(p_name text, p_reason text default null) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant_id uuid := plinth_kernel.require_tenant();
  _marked integer[];
  _versions integer;
begin
  perform plinth_events.lock_type(_tenant_id, p_name);
  select array_agg(t.version order by t.version) into _marked from plinth_events.types as t where t.tenant_id = _tenant_id and t.name = p_name and t.deleted_at is null and t.personal;
  if _marked is not null then
    perform plinth_events.require_reason(p_reason);
  end if;
  update plinth_events.types as t set deleted_at = clock_timestamp(), updated_at = clock_timestamp() where t.tenant_id = _tenant_id and t.name = p_name and t.deleted_at is null;
  get diagnostics _versions = row_count;
  if _versions = 0 then
    perform plinth_events.refuse_unknown_type(p_name, null);
  end if;
  perform plinth.log_audit_event(p_action := 'event_type.deleted', p_resource_type := 'event_type', p_resource_id := p_name, p_reason := p_reason,
    p_severity := case when _marked is null then 'info' else 'warning' end, p_after := jsonb_build_object('versions', _versions, 'marked_versions', coalesce(_marked, '{}')));
  return _versions;
end
$$;
comment on function plinth.delete_event_type(text, text) is
  'Deletes an event type of the tenant, all versions, and returns how many; a reason is needed where they mark personal fields, which stay encrypted in events to come. Payloads are no longer checked; a later registration goes on with the next version. '
  'Recorded in the audit log. Errors events_type_unknown, events_operation_invalid.';
