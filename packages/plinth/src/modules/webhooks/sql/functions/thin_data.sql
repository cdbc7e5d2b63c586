create or replace function plinth_webhooks.thin_data(p_document jsonb) returns jsonb
language sql immutable parallel safe
return pg_catalog.jsonb_build_object('event_id', p_document -> 'id', 'stream', p_document -> 'stream');
comment on function plinth_webhooks.thin_data(jsonb) is 'What is sent of the document of an event in place of its data: enough to ask for them.';
