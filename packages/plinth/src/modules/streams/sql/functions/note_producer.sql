-- Whether an append of an idempotent producer is new. The stream is locked, so appends of one producer cannot pass each other.
create or replace function plinth_streams.note_producer(p_stream_id uuid, p_producer text, p_epoch bigint, p_seq bigint) returns bigint
language plpgsql volatile security invoker
as $$
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _known plinth_streams.producers;
begin
  select p.* into _known from plinth_streams.producers as p where p.tenant_id = _tenant_id and p.stream_id = p_stream_id and p.producer_id = p_producer;
  if p_epoch < _known.epoch then
    raise exception 'The producer % has begun epoch %', p_producer, _known.epoch using errcode = 'PL403',
      detail = json_build_object('code', 'streams_producer_stale', 'epoch', _known.epoch)::text, hint = 'Another instance took over; begin a higher epoch with sequence number 0.';
  elsif p_epoch > _known.epoch and p_seq <> 0 then
    raise exception 'A new epoch begins with sequence number 0, not %', p_seq using errcode = 'PL400', detail = '{"code":"streams_epoch_begins_at_zero"}', hint = 'Send Producer-Seq: 0.';
  elsif p_epoch = _known.epoch and p_seq <= _known.last_seq then
    return _known.last_seq;
  elsif p_seq <> (case when p_epoch = _known.epoch then _known.last_seq + 1 else 0 end) then
    raise exception 'Expected sequence number %, not %', case when p_epoch = _known.epoch then _known.last_seq + 1 else 0 end, p_seq using errcode = 'PL409',
      detail = json_build_object('code', 'streams_producer_gap', 'expected', case when p_epoch = _known.epoch then _known.last_seq + 1 else 0 end, 'received', p_seq)::text,
      hint = 'Send what is missing first.';
  end if;
  insert into plinth_streams.producers as p (tenant_id, stream_id, producer_id, epoch, last_seq) values (_tenant_id, p_stream_id, p_producer, p_epoch, p_seq)
  on conflict (tenant_id, stream_id, producer_id) do update set epoch = excluded.epoch, last_seq = excluded.last_seq, updated_at = clock_timestamp();
  return null;
end
$$;
comment on function plinth_streams.note_producer(uuid, text, bigint, bigint) is
  'Notes an append of an idempotent producer and returns null; the highest number that was taken, when it is a repetition. Errors: streams_producer_stale, streams_epoch_begins_at_zero, streams_producer_gap.';
