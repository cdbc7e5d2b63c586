-- The stream of a path, locked for writers. One that has ended is as good as none, unless forks still need it: then it is gone.
create or replace function plinth_streams.stream_at(p_path text, p_lock boolean) returns plinth_streams.streams
language plpgsql volatile security invoker
as $$
declare
  _stream plinth_streams.streams;
begin
  if p_lock then
    select s.* into _stream from plinth_streams.streams as s where s.tenant_id = plinth_kernel.require_tenant() and s.path = p_path for update;
  else
    select s.* into _stream from plinth_streams.streams as s where s.tenant_id = plinth_kernel.require_tenant() and s.path = p_path;
  end if;
  if _stream.deleted_at is not null or (_stream.ends_at <= clock_timestamp() and plinth_streams.is_forked(_stream.tenant_id, _stream.id)) then
    raise exception 'The stream % is gone', p_path using errcode = 'PL410', detail = '{"code":"streams_stream_gone"}', hint = 'Use another path: forks still read from this one.';
  end if;
  if _stream.id is null or _stream.ends_at <= clock_timestamp() then
    raise exception 'There is no stream %', p_path using errcode = 'PL404', detail = '{"code":"streams_stream_not_found"}', hint = 'Create it with PUT or plinth.create_durable_stream.';
  end if;
  return _stream;
end
$$;
comment on function plinth_streams.stream_at(text, boolean) is 'The stream of a path. Errors: streams_stream_not_found, streams_stream_gone.';
