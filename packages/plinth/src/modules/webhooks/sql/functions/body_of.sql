-- Built once per delivery and kept: every attempt signs and sends the same bytes.
create or replace function plinth_webhooks.body_of(p_type text, p_at timestamptz, p_data jsonb) returns text
language sql stable parallel safe
return pg_catalog.json_build_object('type', p_type, 'timestamp', pg_catalog.to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'data', p_data)::text;
comment on function plinth_webhooks.body_of(text, timestamptz, jsonb) is 'The body of a webhook as Standard Webhooks suggests: {"type", "timestamp", "data"}.';
