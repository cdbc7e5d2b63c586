-- What a reader has to know before it reads. Reading keeps a stream with a time to live alive; noted at most ten times in that time.
create or replace function plinth_streams.open_stream(p_path text, p_touch boolean)
returns table (id uuid, content_type text, tail bigint, closed boolean, ttl_s bigint, expires_text text)
language plpgsql volatile security invoker
as $$
declare
  _stream plinth_streams.streams := plinth_streams.stream_at(p_path, false);
begin
  if p_touch and _stream.ttl_s is not null and _stream.touched_at < clock_timestamp() - _stream.ttl_s * interval '0.1 seconds' then
    update plinth_streams.streams as s set touched_at = clock_timestamp(), ends_at = clock_timestamp() + s.ttl_s * interval '1 second'
    where s.tenant_id = _stream.tenant_id and s.id = _stream.id;
  end if;
  return query select _stream.id, _stream.content_type, _stream.tail, _stream.closed, _stream.ttl_s, _stream.expires_text;
end
$$;
comment on function plinth_streams.open_stream(text, boolean) is 'A stream as its readers see it. Errors: streams_stream_not_found, streams_stream_gone.';
