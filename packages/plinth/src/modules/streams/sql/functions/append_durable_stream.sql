-- Appends in the transaction of the caller. Without data it only closes.
create or replace function plinth.append_durable_stream(p_path text, p_data bytea, p_content_type text default null, p_seq text default null, p_close boolean default false,
  p_producer text default null, p_epoch bigint default null, p_producer_seq bigint default null)
returns table (stream_id uuid, tail bigint, closed boolean, duplicate boolean, producer_seq bigint)
language plpgsql volatile security invoker
as $$
declare
  _stream plinth_streams.streams := plinth_streams.stream_at(p_path, true);
  _by constant pg_catalog.jsonb := case when p_producer is not null then jsonb_build_object('producer', p_producer, 'epoch', p_epoch, 'seq', p_producer_seq) end;
  _empty constant boolean := coalesce(octet_length(p_data), 0) = 0;
  _known bigint;
begin
  if _stream.closed and ((_empty and p_producer is null) or _by = _stream.closed_by) then
    return query select _stream.id, _stream.tail, true, true, p_producer_seq;
    return;
  elsif _stream.closed then
    raise exception 'The stream % is closed', p_path using errcode = 'PL409', detail = json_build_object('code', 'streams_stream_closed', 'tail', _stream.tail)::text, hint = 'Nothing can be appended any more.';
  elsif not _empty and p_content_type is not null and plinth_streams.media_type(p_content_type) <> plinth_streams.media_type(_stream.content_type) then
    raise exception 'The stream % holds %, not %', p_path, _stream.content_type, p_content_type using errcode = 'PL409', detail = '{"code":"streams_content_type_mismatch"}', hint = 'Append what the stream was created for.';
  elsif _empty and not p_close then
    raise exception 'There is nothing to append' using errcode = 'PL400', detail = '{"code":"streams_body_empty"}', hint = 'Send data, or close the stream.';
  end if;
  perform plinth_streams.check_json(_stream.content_type, p_data);
  if p_producer is not null then
    _known := plinth_streams.note_producer(_stream.id, p_producer, p_epoch, p_producer_seq);
    if _known is not null then
      return query select _stream.id, _stream.tail, _stream.closed, true, _known;
      return;
    end if;
  end if;
  if p_seq collate "C" <= _stream.last_seq collate "C" then
    raise exception 'The stream is at sequence %, and % does not come after it', _stream.last_seq, p_seq using errcode = 'PL409', detail = '{"code":"streams_sequence_conflict"}', hint = 'Read on and append with a higher Stream-Seq.';
  end if;
  if not _empty then
    insert into plinth_streams.messages (tenant_id, stream_id, position, data) values (_stream.tenant_id, _stream.id, _stream.tail + octet_length(p_data), p_data);
  end if;
  update plinth_streams.streams as s set tail = s.tail + coalesce(octet_length(p_data), 0), closed = p_close, closed_by = case when p_close then _by end, last_seq = coalesce(p_seq, s.last_seq),
    touched_at = clock_timestamp(), ends_at = case when s.ttl_s is null then s.ends_at else clock_timestamp() + s.ttl_s * interval '1 second' end
  where s.tenant_id = _stream.tenant_id and s.id = _stream.id;
  return query select _stream.id, _stream.tail + coalesce(octet_length(p_data), 0), p_close, false, p_producer_seq;
end
$$;
comment on function plinth.append_durable_stream(text, bytea, text, text, boolean, text, bigint, bigint) is
  'Appends to a stream (JSON is given as values joined by commas): p_seq orders writers (each later one greater), producer, epoch and number make repetitions harmless, p_close ends it. Errors: streams_stream_not_found, streams_stream_gone, streams_stream_closed, streams_content_type_mismatch, streams_body_empty, streams_json_invalid, streams_sequence_conflict, and those of producers.';
