-- Silent: whatever the payload looks like, an event either matches or it does not. A filter must never stop the fan-out.
create or replace function plinth_webhooks.wants(p_filter jsonpath, p_document jsonb) returns boolean
language sql immutable parallel safe
return p_filter is null or coalesce(pg_catalog.jsonb_path_match(p_document, p_filter, '{}', true), false);
comment on function plinth_webhooks.wants(jsonpath, jsonb) is 'True when a compiled filter, or none, lets the document of an event through.';
