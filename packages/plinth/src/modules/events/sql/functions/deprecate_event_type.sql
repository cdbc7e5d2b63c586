-- Definer rights for the reason of define_event_type.
create or replace function plinth.deprecate_event_type(p_name text, p_message text, p_successor text default null, p_version integer default null) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _versions integer;
begin
  if p_message is null or length(p_message) not between 1 and 2000 or p_successor !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' or p_successor = p_name then
    raise exception 'a deprecation tells why in 1 to 2000 characters, and may name another type' using errcode = 'PL422', detail = '{"code":"events_type_invalid"}',
      hint = 'Give p_message, and p_successor or null.';
  end if;
  update plinth_events.types as t set deprecated_at = coalesce(t.deprecated_at, pg_catalog.clock_timestamp()), deprecation = p_message, successor = p_successor, updated_at = pg_catalog.clock_timestamp()
  where t.tenant_id = plinth_kernel.require_tenant() and t.name = p_name and (p_version is null or t.version = p_version) and t.deleted_at is null;
  get diagnostics _versions = row_count;
  if _versions = 0 then
    perform plinth_events.refuse_unknown_type(p_name, p_version);
  end if;
  return _versions;
end
$$;
comment on function plinth.deprecate_event_type(text, text, text, integer) is
  'Marks all versions of an event type of the tenant, or one, as no longer to be written, with the reason and the type to use instead; returns how many. They still may be written. Errors events_type_invalid, events_type_unknown.';
