create or replace function plinth_webhooks.inbound_options_fault(p_profile text, p_options jsonb) returns text
language sql immutable set search_path = ''
as $$
  select case
    when p_options is null or jsonb_typeof(p_options) <> 'object' then 'its options are an object'
    when p_profile <> 'generic' and p_options <> '{}' then 'only the profile generic has options'
    when p_profile <> 'generic' then null
    when coalesce(p_options ->> 'header', '') !~ '^[A-Za-z0-9-]{1,100}$' then 'options.header is the name of the header with the signature'
    when p_options ? 'id_header' and coalesce(p_options ->> 'id_header', '') !~ '^[A-Za-z0-9-]{1,100}$' then 'options.id_header is the name of the header with the id of the message'
    when coalesce(p_options ->> 'encoding', 'hex') not in ('hex', 'base64') then 'options.encoding is hex or base64'
    when length(coalesce(p_options ->> 'prefix', '')) > 50 then 'options.prefix has at most 50 characters'
    when exists (select from jsonb_object_keys(p_options) k where k not in ('header', 'id_header', 'encoding', 'prefix')) then 'options are header, id_header, encoding and prefix'
  end
$$;
comment on function plinth_webhooks.inbound_options_fault(text, jsonb) is 'What is wrong with the options of an inbound source; null when nothing is.';
