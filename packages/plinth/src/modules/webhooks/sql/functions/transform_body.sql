-- First what is taken away, then what is put in: a template cannot bring back what was omitted or redacted. All values are those of the
-- document before anything was set, and what they come to is added up before anything is built, so that no transform can grow a body beyond bounds.
-- Whoever wants a thin body instead of what a subscription asks for gives the transform {"fail": why}, which no subscription can have.
create or replace function plinth_webhooks.transform_body(p_document jsonb, p_transform jsonb) returns text
language plpgsql stable set search_path = ''
as $$
declare
  _document jsonb := p_document;
  _source jsonb;
  _step record;
  _body text;
  _place text[];
  -- Work that paths may make, in bytes of document copied: about 5 ns each, three times that where * is an element after the other, four times where a key is new.
  _left integer := 67108864;
  _size bigint := 0;
begin
  if p_transform ? 'fail' then
    return plinth_webhooks.thin_body(p_document, p_transform ->> 'fail');
  end if;
  if p_transform ->> 'payload' = 'thin' then
    _document := _document || jsonb_build_object('data', plinth_webhooks.thin_data(p_document));
  end if;
  for _step in
    select 1 as turn, 'omit' as edit, o.path, null::jsonb as argument from jsonb_array_elements_text(coalesce(p_transform -> 'omit', '[]')) o (path)
    union all select 2, 'redact', r.path, null from jsonb_array_elements_text(coalesce(p_transform -> 'redact', '[]')) r (path)
    union all select 3, 'rename', n.key, n.value from jsonb_each(coalesce(p_transform -> 'rename', '{}')) n
    order by 1, 3
  loop
    _place := string_to_array(_step.path, '.');
    if '*' = any (_place) then
      select e.edited, e.p_left into _document, _left from plinth_webhooks.edit_path(_document, _place, _step.edit, _step.argument, _left - 3 * pg_column_size(_document)) e;
    elsif _document #> _place is not null then
      _left := _left - case _step.edit when 'rename' then 4 else 1 end * pg_column_size(_document);
      _document := plinth_webhooks.edit_place(_document, _place, _step.edit, _step.argument);
    end if;
    if _left < 0 then
      return plinth_webhooks.thin_body(p_document, 'too_much');
    end if;
  end loop;
  for _step in
    select m.found[1] as path, count(*) as times
    from regexp_matches(concat(p_transform -> 'set', p_transform -> 'data', p_transform -> 'body'), '\{\{([^{}]*)\}\}', 'g') m (found) group by 1
  loop
    _size := _size + coalesce(octet_length(_document #>> string_to_array(btrim(_step.path), '.')), 0) * _step.times;
    if _size > 1048576 then
      return plinth_webhooks.thin_body(p_document, 'too_large');
    end if;
  end loop;
  _source := _document;
  for _step in select s.key, plinth_webhooks.fill_template(s.value, _source) as value from jsonb_each(coalesce(p_transform -> 'set', '{}')) s order by s.key loop
    if _step.value is not null then
      _left := _left - 4 * pg_column_size(_document);
      if _left < 0 then
        return plinth_webhooks.thin_body(p_document, 'too_much');
      end if;
      _document := plinth_webhooks.set_place(_document, string_to_array(_step.key, '.'), _step.value);
    end if;
  end loop;
  _body := case
    when p_transform ? 'body' then plinth_webhooks.fill_template(p_transform -> 'body', _document)::text
    else json_build_object('type', p_document -> 'type', 'timestamp', p_document -> 'time',
      'data', case when p_transform ? 'data' then coalesce(plinth_webhooks.fill_template(p_transform -> 'data', _document), 'null') else _document -> 'data' end)::text
  end;
  return case when _body is null then plinth_webhooks.thin_body(p_document, 'empty') when octet_length(_body) > 1048576 then plinth_webhooks.thin_body(p_document, 'too_large') else _body end;
end
$$;
comment on function plinth_webhooks.transform_body(jsonb, jsonb) is
  'The body of a webhook made from the document of an event by a transform. It is thin and tells why in transform_error when it would be empty, too_large (above 1 MiB), or too_much work. Never raises for a transform that was checked.';
