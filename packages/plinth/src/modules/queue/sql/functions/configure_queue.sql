create or replace function plinth.configure_queue(
  p_queue text,
  p_visibility interval default null,
  p_max_receives integer default null,
  p_retention interval default null,
  p_max_payload_bytes integer default null,
  p_deduplication_window interval default null,
  p_fifo boolean default null
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid;
  _fault text := case
    when coalesce(p_queue, '') !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' then 'a queue is named by 1 to 100 letters, digits, dots, dashes and underscores'
    when p_visibility not between interval '1 millisecond' and interval '12 hours' then 'the visibility is from 1 ms to 12 hours'
    when p_max_receives not between 1 and 1000 then 'a message is received 1 to 1,000 times'
    when p_retention not between interval '1 minute' and interval '14 days' then 'the retention is from 1 minute to 14 days'
    when p_max_payload_bytes not between 1 and 1048576 then 'a payload has 1 to 1,048,576 bytes'
    when p_deduplication_window not between interval '1 second' and interval '1 day' then 'the deduplication window is from 1 second to 1 day'
  end;
begin
  if _fault is not null then
    raise exception 'The settings of the queue are not valid: %', _fault using errcode = 'PL422', detail = '{"code":"queue_settings_invalid"}', hint = 'Correct the setting that is named.';
  end if;
  insert into plinth_queue.queues as q (tenant_id, name, visibility_ms, max_receives, retention_s, max_payload_bytes, deduplication_window_ms, fifo)
  values (plinth_kernel.require_tenant(), p_queue, coalesce(extract(epoch from p_visibility) * 1000, 30000), coalesce(p_max_receives, 5), coalesce(extract(epoch from p_retention), 345600),
    coalesce(p_max_payload_bytes, 262144), coalesce(extract(epoch from p_deduplication_window) * 1000, 300000), coalesce(p_fifo, false))
  on conflict (tenant_id, name) do update set
    visibility_ms = coalesce(extract(epoch from p_visibility) * 1000, q.visibility_ms), max_receives = coalesce(p_max_receives, q.max_receives),
    retention_s = coalesce(extract(epoch from p_retention), q.retention_s), max_payload_bytes = coalesce(p_max_payload_bytes, q.max_payload_bytes),
    deduplication_window_ms = coalesce(extract(epoch from p_deduplication_window) * 1000, q.deduplication_window_ms), fifo = coalesce(p_fifo, q.fifo), updated_at = clock_timestamp()
  returning q.id into _id;
  return _id;
end
$$;
comment on function plinth.configure_queue(text, interval, integer, interval, integer, interval, boolean) is
  'Makes or changes a queue of the tenant; null leaves a setting as it is. p_visibility: how long a received message is hidden (30 seconds). p_max_receives: then it is a dead letter (5). p_retention: so long after it was sent, after the end of its delay or after its redrive it expires (4 days; at most 14). p_max_payload_bytes: 256 KiB, at most 1 MiB. p_deduplication_window: 5 minutes. p_fifo: every message must name a group. Returns the id. Errors: kernel_tenant_required, queue_settings_invalid.';
