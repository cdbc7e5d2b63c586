-- The part of the first message after a position that a fork takes over: so many values of JSON, or so many bytes.
create or replace function plinth_streams.fork_prefix(p_stream_id uuid, p_at bigint, p_part bigint, p_json boolean) returns bytea
language plpgsql stable security invoker
as $$
declare
  _data pg_catalog.bytea;
  _parts bigint;
begin
  select m.data into _data from plinth_streams.read_messages(p_stream_id, p_at, 1, 1) as m;
  _parts := case when p_json then json_array_length(('[' || convert_from(_data, 'UTF8') || ']')::json) else octet_length(_data) end;
  if _data is null or p_part > _parts then
    raise exception 'There is no part % after the offset of the fork', p_part using errcode = 'PL400', detail = '{"code":"streams_fork_invalid"}',
      hint = 'Stream-Fork-Sub-Offset counts values, or bytes, of the message after Stream-Fork-Offset.';
  end if;
  if not p_json then
    return substring(_data for p_part::integer);
  end if;
  return (select convert_to(string_agg(v.value::text, ',' order by v.nth), 'UTF8')
    from json_array_elements(('[' || convert_from(_data, 'UTF8') || ']')::json) with ordinality as v (value, nth) where v.nth <= p_part);
end
$$;
comment on function plinth_streams.fork_prefix(uuid, bigint, bigint, boolean) is 'Beginning of a message that a fork keeps. Errors: streams_fork_invalid.';
