-- Definer rights for the reason of define_event_type.
create or replace function plinth.undeprecate_event_type(p_name text, p_version integer default null) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _versions integer;
begin
  update plinth_events.types as t set deprecated_at = null, deprecation = null, successor = null, updated_at = pg_catalog.clock_timestamp()
  where t.tenant_id = plinth_kernel.require_tenant() and t.name = p_name and (p_version is null or t.version = p_version) and t.deleted_at is null;
  get diagnostics _versions = row_count;
  if _versions = 0 then
    perform plinth_events.refuse_unknown_type(p_name, p_version);
  end if;
  return _versions;
end
$$;
comment on function plinth.undeprecate_event_type(text, integer) is 'Takes back plinth.deprecate_event_type, for all versions or one; returns how many. Error events_type_unknown.';
