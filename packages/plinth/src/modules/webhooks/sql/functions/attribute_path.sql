-- What is no part of an event is an extension of CloudEvents that it came with, whose names have neither dots nor capitals. The rest is refused, because it
-- could only be a mistake: payload.total would never be there.
create or replace function plinth_webhooks.attribute_path(p_name text) returns text
language sql immutable parallel safe set search_path = ''
as $$
  select case
    when split_part(p_name, '.', 1) = any (plinth_webhooks.document_keys()) then '$."' || replace(p_name, '.', '"."') || '"'
    when p_name = 'correlationid' then '$."correlation_id"'
    when p_name = 'causationid' then '$."causation_id"'
    when p_name = 'traceparent' then '$."metadata"."traceparent"'
    when p_name ~ '^[a-z0-9]{1,50}$' and p_name not in ('specversion', 'datacontenttype', 'dataschema', 'payload') then '$."metadata"."cloudevents"."' || p_name || '"'
  end
$$;
comment on function plinth_webhooks.attribute_path(text) is 'Where an attribute of a CloudEvents filter is in the document of an event: a path into it, or an extension; null for what no event has.';
