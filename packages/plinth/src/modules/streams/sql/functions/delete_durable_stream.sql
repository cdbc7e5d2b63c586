create or replace function plinth.delete_durable_stream(p_path text) returns void
language plpgsql volatile security invoker
as $$
declare
  _stream plinth_streams.streams := plinth_streams.stream_at(p_path, true);
begin
  if plinth_streams.is_forked(_stream.tenant_id, _stream.id) then
    update plinth_streams.streams as s set deleted_at = clock_timestamp() where s.tenant_id = _stream.tenant_id and s.id = _stream.id;
  else
    perform plinth_streams.remove_stream(_stream.id);
  end if;
end
$$;
comment on function plinth.delete_durable_stream(text) is 'Deletes a stream. While forks read from it, what they need is kept and its path is held. Errors: streams_stream_not_found, streams_stream_gone.';
