create or replace function plinth_webhooks.cloud_body(p_format text, p_attributes jsonb, p_data text) returns text
language sql immutable parallel safe set search_path = ''
return case p_format when 'cloudevents-binary' then p_attributes::text || pg_catalog.chr(10) || p_data else pg_catalog.left(p_attributes::text, -1) || ', "data": ' || p_data || '}' end;
comment on function plinth_webhooks.cloud_body(text, jsonb, text) is 'The stored body of a CloudEvent: one JSON object, or for cloudevents-binary a line of attributes and the data behind it.';
