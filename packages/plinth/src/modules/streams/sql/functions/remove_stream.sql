-- Removes a stream that nobody reads from, and then the sources above it that were only kept for it.
create or replace function plinth_streams.remove_stream(p_id uuid) returns void
language plpgsql volatile security invoker
as $$
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _id pg_catalog.uuid := p_id;
  _source pg_catalog.uuid;
begin
  loop
    delete from plinth_streams.streams as s where s.tenant_id = _tenant_id and s.id = _id returning s.forked_from into _source;
    select s.id into _id from plinth_streams.streams as s
    where s.tenant_id = _tenant_id and s.id = _source and (s.deleted_at is not null or s.ends_at <= clock_timestamp()) and not plinth_streams.is_forked(_tenant_id, s.id) for update;
    exit when _id is null;
  end loop;
end
$$;
comment on function plinth_streams.remove_stream(uuid) is 'Deletes a stream with its messages, and sources that were deleted before and are not needed any more.';
