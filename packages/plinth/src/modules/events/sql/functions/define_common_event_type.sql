-- Definer rights for the reason of define_event_type.
create or replace function plinth.define_common_event_type(p_name text, p_schema jsonb default null, p_mode text default 'reject', p_description text default null,
  p_compatibility text default null, p_visibility text default null, p_examples jsonb default '[]', p_reason text default null)
returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _newest plinth_events.common_types;
  _version integer;
  _compatibility text;
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.refuse_type(p_name, p_schema, p_mode, p_compatibility, p_visibility, p_examples);
  perform plinth_events.lock_type(null, p_name);
  select * into _newest from plinth_events.common_types where name = p_name order by version desc limit 1;
  _version := coalesce(_newest.version, 0);
  _compatibility := coalesce(p_compatibility, _newest.compatibility, 'backward');
  if _newest.name is not null and _newest.schema is not distinct from p_schema then
    update plinth_events.common_types set mode = p_mode, description = coalesce(p_description, description), examples = case when p_examples = '[]' then examples else p_examples end,
      compatibility = _compatibility, visibility = coalesce(p_visibility, visibility), updated_at = clock_timestamp()
    where name = p_name and version = _version;
  else
    perform plinth_events.refuse_breaks(null, p_name, p_schema, _compatibility);
    _version := _version + 1;
    insert into plinth_events.common_types (name, version, schema, mode, description, examples, compatibility, visibility, since)
    values (p_name, _version, p_schema, p_mode, coalesce(p_description, _newest.description), p_examples, _compatibility, coalesce(p_visibility, _newest.visibility, 'public'),
      case when _compatibility = 'none' then _version else coalesce(_newest.since, _version) end);
  end if;
  perform plinth_events.audit_operation(null, 'event_type.common_defined', 'event_type', p_name, jsonb_build_object('version', _version, 'mode', p_mode), p_reason);
  return _version;
end
$$;
comment on function plinth.define_common_event_type(text, jsonb, text, text, text, text, jsonb, text) is
  'Registers an event type of all tenants and returns its version, as plinth.define_event_type does for one; a tenant''s own type of that name goes before it, and fields that it marks stay encrypted there too. '
  'For plinth_worker; recorded in the audit log. Errors events_type_invalid, events_type_incompatible, kernel_forbidden.';
