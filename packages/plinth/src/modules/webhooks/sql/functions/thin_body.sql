create or replace function plinth_webhooks.thin_body(p_document jsonb, p_why text) returns text
language sql immutable parallel safe
return pg_catalog.json_build_object('type', p_document -> 'type', 'timestamp', p_document -> 'time', 'data', plinth_webhooks.thin_data(p_document), 'transform_error', p_why)::text;
comment on function plinth_webhooks.thin_body(jsonb, text) is 'The body of a webhook whose transform came to nothing: empty, too_large, too_much work, or failed.';
