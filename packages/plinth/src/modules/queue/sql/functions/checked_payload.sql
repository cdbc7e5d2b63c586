-- Called for each payload on its way in. A check constraint could not know the limit of the queue.
create or replace function plinth_queue.checked_payload(p_payload jsonb, p_queue text, p_limit integer) returns jsonb
language plpgsql immutable security invoker
as $$
begin
  if pg_catalog.octet_length(p_payload::text) > p_limit then
    raise exception 'A message to queue % has % bytes; its limit is %', p_queue, pg_catalog.octet_length(p_payload::text), p_limit
      using errcode = 'PL413', detail = pg_catalog.jsonb_build_object('code', 'queue_payload_too_large', 'limit_bytes', p_limit, 'size_bytes', pg_catalog.octet_length(p_payload::text))::text,
        hint = 'Store the data in a table or a file and send its id, or raise max_payload_bytes of the queue (at most 1 MiB).';
  end if;
  return p_payload;
end
$$;
comment on function plinth_queue.checked_payload(jsonb, text, integer) is 'The payload, or error queue_payload_too_large when its text has more bytes than the limit of the queue.';
