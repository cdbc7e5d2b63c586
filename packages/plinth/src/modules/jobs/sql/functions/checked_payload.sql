-- Called for each payload on its way in. A check constraint would be evaluated again by every claim and every move of the row.
create or replace function plinth_jobs.checked_payload(p_payload jsonb) returns jsonb
language plpgsql immutable security invoker
as $$
begin
  if pg_catalog.octet_length(p_payload::text) > 262144 then
    raise exception 'The payload of a job has % bytes; the limit is 262144', pg_catalog.octet_length(p_payload::text)
      using errcode = 'PL413', detail = '{"code":"jobs_payload_too_large","limit_bytes":262144}', hint = 'Store the data in a table or a file and put its id into the payload.';
  end if;
  return p_payload;
end
$$;
comment on function plinth_jobs.checked_payload(jsonb) is 'The payload, or error jobs_payload_too_large when its text is longer than 256 KiB.';
