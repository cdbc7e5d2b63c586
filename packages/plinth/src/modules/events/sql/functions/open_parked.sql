create or replace function plinth_events.open_parked(p_consumer text) returns bigint
language sql stable security invoker set search_path = ''
as $$
  select count(*) from (select from plinth_events.parked as p where p.consumer = p_consumer and p.ended_at is null limit 1000) as p
$$;
comment on function plinth_events.open_parked(text) is 'How many parked events of a consumer wait for somebody, of those that the acting role may see; at most 1,000 are counted.';
