-- Every key under which a pattern that matches this type may be stored: each segment as itself or as *, cut off anywhere with #.
-- 3 segments make 23 keys, 6 make 191; beyond 8 segments only patterns that end in # match. The paths of a level are one text, each ended by a comma,
-- which no type holds: a level is then two replacements. Loops over arrays took three times as long, which was a sixth of a match, a recursive
-- query longer still.
create or replace function plinth_webhooks.match_keys(p_type text) returns text[]
language plpgsql immutable strict parallel safe set search_path = ''
as $$
declare
  _segments constant text[] := string_to_array(p_type, '.');
  _depth constant integer := cardinality(_segments);
  _paths text := '';
  _keys text := '';
begin
  for _n in 1 .. least(_depth, 8) loop
    _paths := case when _n = 1 then _segments[1] || ',*,' else replace(_paths, ',', '.' || _segments[_n] || ',') || replace(_paths, ',', '.*,') end;
    _keys := _keys || replace(_paths, ',', '.#,');
  end loop;
  return string_to_array(_keys || case when _depth <= 8 then _paths else '' end || '#', ',');
end
$$;
comment on function plinth_webhooks.match_keys(text) is 'The keys of all patterns that match an event type. order.created: #, *.#, *.*, *.created, *.created.#, order.#, order.*, order.*.#, ...';
