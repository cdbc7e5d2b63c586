-- Definer rights: the application may not write plinth_events.types itself, so that versions and marks of personal fields are never changed or deleted.
create or replace function plinth.define_event_type(p_name text, p_schema jsonb default null, p_mode text default 'reject', p_description text default null, p_example jsonb default null,
  p_compatibility text default null, p_visibility text default null, p_examples jsonb default null)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant_id uuid := plinth_kernel.require_tenant();
  _examples jsonb := coalesce(p_examples, case when p_example is null then '[]' else jsonb_build_array(p_example) end);
  _newest plinth_events.types;
  _version integer;
  _compatibility text;
begin
  perform plinth_events.refuse_type(p_name, p_schema, p_mode, p_compatibility, p_visibility, _examples);
  perform plinth_events.lock_type(_tenant_id, p_name);
  -- Also above what was deleted: events of it are stored, and number their versions.
  _version := coalesce((select max(t.version) from plinth_events.types as t where t.tenant_id = _tenant_id and t.name = p_name), 0) + 1;
  select * into _newest from plinth_events.types where tenant_id = _tenant_id and name = p_name and deleted_at is null order by version desc limit 1;
  -- Who sees events of a type, in the portal and outside, is not told by its versions.
  if p_visibility <> _newest.visibility then
    perform plinth.log_audit_event(p_action := 'event_type.visibility_changed', p_resource_type := 'event_type', p_resource_id := p_name, p_severity := 'warning',
      p_before := jsonb_build_object('visibility', _newest.visibility), p_after := jsonb_build_object('visibility', p_visibility));
  end if;
  if _newest.name is not null and _newest.schema is not distinct from p_schema then
    update plinth_events.types set mode = p_mode, description = coalesce(p_description, description), examples = case when _examples = '[]' then examples else _examples end,
      compatibility = coalesce(p_compatibility, compatibility), visibility = coalesce(p_visibility, visibility), updated_at = clock_timestamp()
    where tenant_id = _tenant_id and name = p_name and version = _newest.version;
    return _newest.version;
  end if;
  _compatibility := coalesce(p_compatibility, _newest.compatibility, 'backward');
  perform plinth_events.refuse_breaks(_tenant_id, p_name, p_schema, _compatibility);
  insert into plinth_events.types (tenant_id, name, version, schema, mode, description, examples, compatibility, visibility, since)
  values (_tenant_id, p_name, _version, p_schema, p_mode, coalesce(p_description, _newest.description), _examples,
    _compatibility, coalesce(p_visibility, _newest.visibility, 'public'), case when _compatibility = 'none' then _version else coalesce(_newest.since, _version) end);
  return _version;
end
$$;
comment on function plinth.define_event_type(text, jsonb, text, text, jsonb, text, text, jsonb) is
  'Registers an event type of the tenant and returns its version: a new one when the schema differs from the newest, else the same with what else is given. p_compatibility: backward (default of a new type), forward, full or none; '
  'p_visibility: public (default) or internal; what is left out stays. Fields that a version marks with x-personal stay encrypted in every later one: plinth.unmark_event_type. Examples must fit the schema. '
  'Other processes use it within 2 s. Another visibility is recorded in the audit log. Errors events_type_invalid, events_type_incompatible.';
