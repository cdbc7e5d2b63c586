create or replace function plinth_webhooks.uri_component(p_text text) returns text
language sql immutable strict parallel safe set search_path = ''
as $$
  select case when p_text ~ '^[A-Za-z0-9_.!~*''()-]*$' then p_text else (
    select string_agg(case when c.one ~ '^[A-Za-z0-9_.!~*''()-]$' then c.one else regexp_replace(upper(encode(convert_to(c.one, 'UTF8'), 'hex')), '(..)', '%\1', 'g') end, '' order by c.nth)
    from string_to_table(p_text, null) with ordinality c (one, nth)) end
$$;
comment on function plinth_webhooks.uri_component(text) is 'Text in the percent encoding of a part of a URI, as encodeURIComponent writes it.';
