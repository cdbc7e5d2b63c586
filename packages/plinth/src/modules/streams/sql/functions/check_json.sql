-- Messages of a JSON stream are put together into arrays by their readers: one append that is none would spoil every page that it is on, for good.
create or replace function plinth_streams.check_json(p_content_type text, p_data bytea) returns void
language plpgsql immutable security invoker
as $$
declare
  _values integer;
begin
  if plinth_streams.media_type(p_content_type) <> 'application/json' or coalesce(octet_length(p_data), 0) = 0 then
    return;
  end if;
  begin
    _values := json_array_length(('[' || convert_from(p_data, 'UTF8') || ']')::json);
  exception when others then
    _values := 0;
  end;
  if _values = 0 then
    raise exception 'The data is not JSON that can be appended' using errcode = 'PL400', detail = '{"code":"streams_json_invalid"}', hint = 'Give one or more JSON values, joined by commas.';
  end if;
end
$$;
comment on function plinth_streams.check_json(text, bytea) is 'Raises streams_json_invalid where data for a stream of JSON is not values joined by commas.';
