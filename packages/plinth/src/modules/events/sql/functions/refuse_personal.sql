create or replace function plinth_events.refuse_personal(p_type text) returns void
language plpgsql stable
as $$
begin
  raise exception 'events of type % have personal fields, which SQL cannot encrypt', p_type using errcode = 'PL422',
    detail = pg_catalog.jsonb_build_object('code', 'events_personal_refused', 'type', p_type)::text, hint = 'Publish them through the library or POST /api/v1/events, where the master key is.';
end
$$;
comment on function plinth_events.refuse_personal(text) is 'Error events_personal_refused.';
