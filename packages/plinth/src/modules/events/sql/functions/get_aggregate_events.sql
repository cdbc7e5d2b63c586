-- Seed 003's own call.
create or replace function plinth.get_aggregate_events(p_aggregate_type text, p_aggregate_id text, p_from_version bigint default 1, p_limit integer default null)
returns setof plinth.event_store
language sql stable security invoker
as $$
  select * from plinth_events.read_stream(p_aggregate_type, p_aggregate_id, p_from_version, 9223372036854775807, p_limit)
$$;
comment on function plinth.get_aggregate_events(text, text, bigint, integer) is 'Events of one aggregate, oldest first, from a version on (default 1); all of them unless p_limit is given. Errors: kernel_invalid_input (p_limit below 0).';
