create or replace function plinth_webhooks.sent_body(p_format text, p_body text) returns text
language sql immutable parallel safe set search_path = ''
return case p_format when 'cloudevents-binary' then pg_catalog.substr(p_body, pg_catalog.strpos(p_body, pg_catalog.chr(10)) + 1) else p_body end;
comment on function plinth_webhooks.sent_body(text, text) is 'What of a stored body is sent as the body of a request.';
