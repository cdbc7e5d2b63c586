create or replace function plinth_events.refuse_breaks(p_tenant_id uuid, p_name text, p_schema jsonb, p_compatibility text) returns void
language plpgsql stable security invoker
as $$
declare
  _breaks pg_catalog.jsonb;
begin
  if p_compatibility is null or p_compatibility = 'none' then
    return;
  end if;
  select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(b)) into _breaks from plinth_events.type_breaks(p_tenant_id, p_name, p_schema, p_compatibility) as b;
  if _breaks is not null then
    raise exception 'the schema of % is not % compatible with version %: % %', p_name, p_compatibility, _breaks -> 0 -> 'version', _breaks -> 0 ->> 'pointer', _breaks -> 0 ->> 'problem' using errcode = 'PL409',
      detail = pg_catalog.jsonb_build_object('code', 'events_type_incompatible', 'type', p_name, 'compatibility', p_compatibility, 'breaks', _breaks)::text,
      hint = 'Change the places that are named, register a new type, or give compatibility none when every reader knows.';
  end if;
end
$$;
comment on function plinth_events.refuse_breaks(uuid, text, jsonb, text) is 'Error events_type_incompatible, which lists what a schema would break of the versions of its type.';
