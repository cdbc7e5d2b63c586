-- What holds no value is not called for: a template may have a thousand constants.
create or replace function plinth_webhooks.fill_template(p_template jsonb, p_document jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  _text text;
  _result text := '';
  _part text;
begin
  if strpos(p_template::text, '{{') = 0 then
    return p_template;
  elsif jsonb_typeof(p_template) = 'object' then
    return coalesce((select jsonb_object_agg(n.key, n.value) from (
      select e.key, case when strpos(e.value::text, '{{') = 0 then e.value else plinth_webhooks.fill_template(e.value, p_document) end as value from jsonb_each(p_template) e) n
      where n.value is not null), '{}');
  elsif jsonb_typeof(p_template) = 'array' then
    return coalesce((select jsonb_agg(case when strpos(e.value::text, '{{') = 0 then e.value else coalesce(plinth_webhooks.fill_template(e.value, p_document), 'null') end order by e.place)
      from jsonb_array_elements(p_template) with ordinality as e (value, place)), '[]');
  end if;
  _text := p_template #>> '{}';
  if _text ~ '^\{\{[^{}]*\}\}$' then
    return p_document #> string_to_array(btrim(btrim(_text, '{}')), '.');
  end if;
  -- Text with values in it. What a value holds is never read as a template again.
  while _text ~ '\{\{[^{}]*\}\}' loop
    _part := substring(_text from '\{\{[^{}]*\}\}');
    _result := _result || left(_text, strpos(_text, _part) - 1) || coalesce(p_document #>> string_to_array(btrim(btrim(_part, '{}')), '.'), '');
    _text := substr(_text, strpos(_text, _part) + length(_part));
  end loop;
  return to_jsonb(_result || _text);
end
$$;
comment on function plinth_webhooks.fill_template(jsonb, jsonb) is 'A template with its {{ path }} replaced: alone in a string by the value as it is (a key without a value is left out), inside text by its text.';
