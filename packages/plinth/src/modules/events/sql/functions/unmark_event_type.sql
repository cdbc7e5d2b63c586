-- Definer rights for the reason of define_event_type.
create or replace function plinth.unmark_event_type(p_name text, p_reason text) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant_id uuid := plinth_kernel.require_tenant();
  _newest integer;
  _unmarked integer[];
begin
  perform plinth_events.require_reason(p_reason);
  perform plinth_events.lock_type(_tenant_id, p_name);
  if not exists (select from plinth_events.types as t where t.tenant_id = _tenant_id and t.name = p_name) then
    perform plinth_events.refuse_unknown_type(p_name, null);
  end if;
  select max(t.version) into _newest from plinth_events.types as t where t.tenant_id = _tenant_id and t.name = p_name and t.deleted_at is null;
  with unmarked as (
    update plinth_events.types as t set unmarked_at = clock_timestamp(), updated_at = clock_timestamp()
    where t.tenant_id = _tenant_id and t.name = p_name and t.personal and t.version is distinct from _newest returning t.version)
  select array_agg(u.version order by u.version) into _unmarked from unmarked as u;
  if _unmarked is not null then
    perform plinth.log_audit_event(p_action := 'event_type.unmarked', p_resource_type := 'event_type', p_resource_id := p_name, p_reason := p_reason, p_severity := 'warning',
      p_after := jsonb_build_object('versions', _unmarked, 'newest', _newest));
  end if;
  return coalesce(cardinality(_unmarked), 0);
end
$$;
comment on function plinth.unmark_event_type(text, text) is
  'Takes back the marks of personal fields of all versions of an event type of the tenant but the newest, and returns of how many: what the newest does not mark is stored as it is from now on; of a deleted type all of them. '
  'Events that are stored stay encrypted. Recorded in the audit log. Errors events_type_unknown, events_operation_invalid.';
