-- Creates a stream, or finds the one that was created with the same settings.
create or replace function plinth.create_durable_stream(
  p_path text, p_content_type text default null, p_data bytea default null, p_closed boolean default false, p_ttl_s bigint default null, p_expires_at text default null,
  p_forked_from text default null, p_fork_at bigint default null, p_fork_sub bigint default null)
returns table (created boolean, tail bigint, closed boolean, content_type text)
language plpgsql volatile security invoker
as $$
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _at constant pg_catalog.timestamptz := clock_timestamp();
  _found plinth_streams.streams;
  _source plinth_streams.streams;
  _type pg_catalog.text := coalesce(p_content_type, 'application/octet-stream');
  _ttl bigint := p_ttl_s;
  _expires pg_catalog.text := p_expires_at;
  _prefix pg_catalog.bytea;
  _id pg_catalog.uuid := plinth_kernel.uuid_v7();
  _tail bigint := 0;
begin
  -- Two that create the same path wait for each other here and not at the unique index, where the loser would fail.
  perform pg_advisory_xact_lock(hashtextextended('plinth stream ' || _tenant_id::text || p_path, 0));
  select s.* into _found from plinth_streams.streams as s where s.tenant_id = _tenant_id and s.path = p_path for update;
  if _found.ends_at <= _at and _found.deleted_at is null and not plinth_streams.is_forked(_tenant_id, _found.id) then
    perform plinth_streams.remove_stream(_found.id);
    _found := null;
  end if;
  if _found.deleted_at is not null or _found.ends_at <= _at then
    raise exception 'The path % belonged to a stream that forks still read from', p_path using errcode = 'PL409', detail = '{"code":"streams_path_held"}', hint = 'Use another path, or delete the forks.';
  end if;
  if _found.id is not null then
    if plinth_streams.media_type(case when p_forked_from is null then _type else coalesce(p_content_type, _found.content_type) end) = plinth_streams.media_type(_found.content_type)
      and (p_ttl_s is not distinct from _found.ttl_s or (p_forked_from is not null and p_ttl_s is null))
      and (p_expires_at is not distinct from _found.expires_text or (p_forked_from is not null and p_expires_at is null))
      and p_closed = _found.closed and p_forked_from is not distinct from _found.forked_path and coalesce(p_fork_at, _found.fork_at) is not distinct from _found.fork_at
      and coalesce(p_fork_sub, 0) = coalesce(_found.fork_sub, 0) then
      return query select false, _found.tail, _found.closed, _found.content_type;
      return;
    end if;
    raise exception 'The stream % exists with other settings', p_path using errcode = 'PL409', detail = '{"code":"streams_stream_exists"}', hint = 'Use another path, or the settings that it was created with.';
  end if;
  if p_forked_from is not null then
    -- Locked, so that it is not removed before its fork can be seen.
    select s.* into _source from plinth_streams.streams as s where s.tenant_id = _tenant_id and s.path = p_forked_from for update;
    if _source.deleted_at is not null then
      raise exception 'The source % is gone', p_forked_from using errcode = 'PL409', detail = '{"code":"streams_source_gone"}', hint = 'Fork a stream that was not deleted.';
    elsif _source.id is null or _source.ends_at <= _at then
      raise exception 'There is no stream % to fork', p_forked_from using errcode = 'PL404', detail = '{"code":"streams_stream_not_found"}', hint = 'Name the path of a stream in Stream-Forked-From.';
    elsif p_content_type is not null and plinth_streams.media_type(p_content_type) <> plinth_streams.media_type(_source.content_type) then
      raise exception 'The source holds %, not %', _source.content_type, p_content_type using errcode = 'PL409', detail = '{"code":"streams_content_type_mismatch"}', hint = 'Leave the content type out: a fork has that of its source.';
    end if;
    _type := coalesce(p_content_type, _source.content_type);
    _tail := coalesce(p_fork_at, _source.tail);
    if _tail > _source.tail then
      raise exception 'The source ends before position %', _tail using errcode = 'PL400', detail = '{"code":"streams_fork_invalid"}', hint = 'Fork at an offset that the source has told.';
    end if;
    if p_ttl_s is null and p_expires_at is null then
      _ttl := _source.ttl_s;
      _expires := case when _source.ttl_s is null then _source.expires_text end;
    end if;
    if p_fork_sub > 0 then
      _prefix := plinth_streams.fork_prefix(_source.id, _tail, p_fork_sub, plinth_streams.media_type(_type) = 'application/json');
    end if;
  end if;
  perform plinth_streams.check_json(_type, p_data);
  insert into plinth_streams.streams (tenant_id, id, path, content_type, tail, closed, ttl_s, expires_text, expires_at, touched_at, ends_at, forked_from, forked_path, fork_at, fork_sub)
  values (_tenant_id, _id, p_path, _type, _tail + coalesce(octet_length(_prefix), 0) + coalesce(octet_length(p_data), 0), p_closed, _ttl, _expires, _expires::timestamptz, _at,
    least(_expires::timestamptz, _at + _ttl * interval '1 second'), _source.id, p_forked_from, case when _source.id is not null then _tail end, p_fork_sub);
  insert into plinth_streams.messages (tenant_id, stream_id, position, data)
  select _tenant_id, _id, _tail + coalesce(octet_length(_prefix), 0) + case when d.nth = 2 then octet_length(p_data) else 0 end, d.data
  from (values (1, _prefix), (2, p_data)) as d (nth, data) where octet_length(d.data) > 0;
  return query select true, _tail + coalesce(octet_length(_prefix), 0) + coalesce(octet_length(p_data), 0), p_closed, _type;
end
$$;
comment on function plinth.create_durable_stream(text, text, bytea, boolean, bigint, text, text, bigint, bigint) is
  'Creates a stream at a path: p_ttl_s seconds after the last use, or at p_expires_at, it ends; p_forked_from begins it with what another holds up to position p_fork_at. JSON is given as values joined by commas. Errors: streams_stream_exists, streams_path_held, streams_stream_not_found, streams_source_gone, streams_content_type_mismatch, streams_fork_invalid, streams_json_invalid.';
