create or replace function plinth_webhooks.check_transform(p_transform jsonb) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  -- Below data, and to a name: what a webhook always carries cannot be cut away.
  _place constant text := '^data(\.([A-Za-z0-9_-]{1,100}|\*)){0,14}\.[A-Za-z0-9_-]{1,100}$';
  _value constant text := '^(id|type|time|source|subject|stream|actor|correlation_id|causation_id|metadata|data)(\.[A-Za-z0-9_-]{1,100}){0,15}$';
  _wrong text;
begin
  if jsonb_typeof(p_transform) <> 'object' or pg_column_size(p_transform) > 16384 or jsonb_path_exists(p_transform, 'strict $.**{17 to last}') then
    perform plinth_webhooks.refuse_transform('it is an object of at most 16 KiB and 16 levels');
  end if;
  select string_agg(k, ', ') into _wrong from jsonb_object_keys(p_transform) k where k not in ('payload', 'omit', 'redact', 'rename', 'set', 'data', 'body');
  if _wrong is not null then
    perform plinth_webhooks.refuse_transform('it knows no ' || left(_wrong, 200));
  elsif p_transform ? 'payload' and p_transform -> 'payload' not in ('"full"', '"thin"') then
    perform plinth_webhooks.refuse_transform('payload is full or thin');
  elsif p_transform ? 'data' and p_transform ? 'body' then
    perform plinth_webhooks.refuse_transform('data and body exclude each other');
  elsif p_transform ? 'set' and (p_transform ? 'data' or p_transform ? 'body') then
    perform plinth_webhooks.refuse_transform('set has no meaning beside data or body, which say all');
  elsif exists (select from jsonb_each(p_transform) e where e.key in ('omit', 'redact') and jsonb_typeof(e.value) <> 'array')
    or exists (select from jsonb_each(p_transform) e where e.key in ('rename', 'set') and jsonb_typeof(e.value) <> 'object') then
    perform plinth_webhooks.refuse_transform('omit and redact are lists of paths, rename and set are objects from path to name or value');
  end if;
  select p.path into _wrong from (
    select l.path from unnest(array['omit', 'redact']) op cross join lateral jsonb_array_elements_text(coalesce(p_transform -> op, '[]')) l (path)
    union all select k from jsonb_object_keys(coalesce(p_transform -> 'rename', '{}')) k
    union all select k from jsonb_object_keys(coalesce(p_transform -> 'set', '{}')) k
  ) p where p.path is null or p.path !~ _place limit 1;
  if found then
    perform plinth_webhooks.refuse_transform(format('%L is not a path such as data.card.number or data.lines.*.price', left(_wrong, 200)));
  elsif exists (select from jsonb_object_keys(coalesce(p_transform -> 'set', '{}')) k where k ~ '\*') then
    perform plinth_webhooks.refuse_transform('set takes no *');
  end if;
  select r.value::text into _wrong from jsonb_each(coalesce(p_transform -> 'rename', '{}')) r where jsonb_typeof(r.value) <> 'string' or r.value #>> '{}' !~ '^[A-Za-z0-9_-]{1,100}$' limit 1;
  if found then
    perform plinth_webhooks.refuse_transform(format('%s is not the new name of a key, without its path', left(_wrong, 200)));
  end if;
  -- What stands in {{ }} anywhere, keys included, because a key cannot hold a value.
  select h.inner into _wrong from (
    select m.found[1] as inner from jsonb_path_query(jsonb_build_array(p_transform -> 'set', p_transform -> 'data', p_transform -> 'body'), 'strict $.**') v
    cross join lateral regexp_matches(v #>> '{}', '\{\{(.*?)\}\}', 'g') m (found) where jsonb_typeof(v) = 'string'
  ) h where btrim(h.inner) !~ _value limit 1;
  if found then
    perform plinth_webhooks.refuse_transform(format('{{%s}} is not a path such as {{ data.order.id }}, {{ type }} or {{ stream.id }}', left(_wrong, 200)));
  elsif (select count(*) > 50 from regexp_matches(p_transform::text, '\{\{', 'g')) or jsonb_array_length(coalesce(p_transform -> 'omit', '[]')) + jsonb_array_length(coalesce(p_transform -> 'redact', '[]')) > 100 then
    perform plinth_webhooks.refuse_transform('it has at most 50 values in {{ }} and 100 paths');
  elsif (select count(*) > 5 from regexp_matches(concat(p_transform -> 'omit', p_transform -> 'redact', p_transform -> 'rename'), '\.\*', 'g')) then
    perform plinth_webhooks.refuse_transform('it has at most 5 * in its paths');
  end if;
end
$$;
comment on function plinth_webhooks.check_transform(jsonb) is 'Raises webhooks_transform_invalid for a transform that could not be applied to every event.';
