create or replace function plinth_events.tell_deprecated(p_rows jsonb) returns void
language plpgsql stable security invoker
as $$
declare
  _row pg_catalog.record;
begin
  for _row in select distinct r.type, r.deprecation from pg_catalog.jsonb_to_recordset(p_rows) as r (type text, deprecation text) where r.deprecation is not null order by r.type loop
    raise notice 'event type % is deprecated: %', _row.type, _row.deprecation;
  end loop;
end
$$;
comment on function plinth_events.tell_deprecated(jsonb) is 'A notice for each type among rows to be written that should no longer be written.';
