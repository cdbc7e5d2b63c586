create or replace function plinth_events.refuse_no_stream() returns uuid
language plpgsql volatile
as $$
begin
  raise exception 'an event of a stream needs the type and id of its aggregate' using errcode = 'PL422', detail = '{"code":"events_event_invalid","field":"p_aggregate_id"}',
    hint = 'Use plinth.publish_event for an event without a stream.';
end
$$;
comment on function plinth_events.refuse_no_stream() is 'Error events_event_invalid.';
