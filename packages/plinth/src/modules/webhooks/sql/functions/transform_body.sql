-- First what is taken away, then what is put in: a template cannot bring back what was omitted or redacted. All values are those of the
-- document before anything was set, so that no transform can grow it beyond bounds.
create or replace function plinth_webhooks.transform_body(p_document jsonb, p_transform jsonb) returns text
language plpgsql stable set search_path = ''
as $$
declare
  _thin constant jsonb := jsonb_build_object('event_id', p_document -> 'id', 'stream', p_document -> 'stream');
  _document jsonb := p_document;
  _source jsonb;
  _step record;
  _body text;
begin
  if p_transform ->> 'payload' = 'thin' then
    _document := _document || jsonb_build_object('data', _thin);
  end if;
  for _step in
    select 1 as turn, 'omit' as edit, o.path, null::jsonb as argument from jsonb_array_elements_text(coalesce(p_transform -> 'omit', '[]')) o (path)
    union all select 2, 'redact', r.path, null from jsonb_array_elements_text(coalesce(p_transform -> 'redact', '[]')) r (path)
    union all select 3, 'rename', n.key, n.value from jsonb_each(coalesce(p_transform -> 'rename', '{}')) n
    order by 1, 3
  loop
    _document := plinth_webhooks.edit_path(_document, string_to_array(_step.path, '.'), _step.edit, _step.argument);
  end loop;
  _source := _document;
  for _step in select s.key, plinth_webhooks.fill_template(s.value, _source) as value from jsonb_each(coalesce(p_transform -> 'set', '{}')) s order by s.key loop
    if _step.value is not null then
      _document := plinth_webhooks.edit_path(_document, string_to_array(_step.key, '.'), 'set', _step.value);
    end if;
  end loop;
  _body := case
    when p_transform ? 'body' then plinth_webhooks.fill_template(p_transform -> 'body', _document)::text
    else json_build_object('type', p_document -> 'type', 'timestamp', p_document -> 'time',
      'data', case when p_transform ? 'data' then coalesce(plinth_webhooks.fill_template(p_transform -> 'data', _document), 'null') else _document -> 'data' end)::text
  end;
  if _body is null or octet_length(_body) > 1048576 then
    return json_build_object('type', p_document -> 'type', 'timestamp', p_document -> 'time', 'data', _thin, 'transform_error', case when _body is null then 'empty' else 'too_large' end)::text;
  end if;
  return _body;
end
$$;
comment on function plinth_webhooks.transform_body(jsonb, jsonb) is 'The body of a webhook made from the document of an event by a transform. One that would be empty or above 1 MiB is thin and tells so in transform_error. Never raises for a transform that was checked.';
