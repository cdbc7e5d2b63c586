create or replace function plinth_events.refuse_unknown_type(p_name text, p_version integer) returns void
language plpgsql stable
as $$
begin
  raise exception 'there is no event type % of this tenant', coalesce(left(p_name, 200), 'null') || coalesce(' version ' || p_version, '') using errcode = 'PL404', detail = '{"code":"events_type_unknown"}',
    hint = 'plinth.event_types lists them; register one with plinth.define_event_type.';
end
$$;
comment on function plinth_events.refuse_unknown_type(text, integer) is 'Error events_type_unknown.';
