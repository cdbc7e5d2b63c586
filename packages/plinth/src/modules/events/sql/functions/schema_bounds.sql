-- Words that bound, with the types that they speak of. A bound of 0 from below says nothing for what is counted.
create or replace function plinth_events.schema_bounds(p_from jsonb, p_to jsonb, p_types text[]) returns table (pointer text, problem text)
language sql immutable
begin atomic
  select '/' || w.word, case when w.lower then format('must be at least %s, and could be less', p_to -> w.word) else format('must be at most %s, and could be more', p_to -> w.word) end
  from (values ('minimum', '{number,integer}'::text[], true), ('minLength', '{string}', true), ('minItems', '{array}', true), ('minProperties', '{object}', true),
    ('maximum', '{number,integer}', false), ('maxLength', '{string}', false), ('maxItems', '{array}', false), ('maxProperties', '{object}', false)) as w (word, types, lower)
  cross join lateral (select (p_to ->> w.word)::numeric as wanted,
    case when w.lower then greatest((p_from ->> w.word)::numeric, case w.word when 'minimum' then (p_from ->> 'exclusiveMinimum')::numeric else 0 end)
      else least((p_from ->> w.word)::numeric, case w.word when 'maximum' then (p_from ->> 'exclusiveMaximum')::numeric end) end as given) as b
  where jsonb_typeof(p_to -> w.word) = 'number' and p_types && w.types and (b.given is null or case when w.lower then b.given < b.wanted else b.given > b.wanted end)
  union all
  select '/exclusiveMinimum', format('must be more than %s, and could be less', p_to -> 'exclusiveMinimum')
  where jsonb_typeof(p_to -> 'exclusiveMinimum') = 'number' and p_types && '{number,integer}'
    and not coalesce((p_from ->> 'exclusiveMinimum')::numeric >= (p_to ->> 'exclusiveMinimum')::numeric, false)
    and not coalesce((p_from ->> 'minimum')::numeric > (p_to ->> 'exclusiveMinimum')::numeric, false)
  union all
  select '/exclusiveMaximum', format('must be less than %s, and could be more', p_to -> 'exclusiveMaximum')
  where jsonb_typeof(p_to -> 'exclusiveMaximum') = 'number' and p_types && '{number,integer}'
    and not coalesce((p_from ->> 'exclusiveMaximum')::numeric <= (p_to ->> 'exclusiveMaximum')::numeric, false)
    and not coalesce((p_from ->> 'maximum')::numeric < (p_to ->> 'exclusiveMaximum')::numeric, false)
  union all
  select '/multipleOf', format('must be a multiple of %s, and could be another number', p_to -> 'multipleOf')
  where jsonb_typeof(p_to -> 'multipleOf') = 'number' and (p_to ->> 'multipleOf')::numeric > 0 and p_types && '{number,integer}'
    and not coalesce((p_from ->> 'multipleOf')::numeric % (p_to ->> 'multipleOf')::numeric = 0, false)
    and not (not 'number' = any (p_types) and 1 % (p_to ->> 'multipleOf')::numeric = 0)
  union all
  select '/uniqueItems', 'items must differ, and could be equal'
  where p_to -> 'uniqueItems' = 'true' and 'array' = any (p_types) and p_from -> 'uniqueItems' is distinct from 'true';
end;
comment on function plinth_events.schema_bounds(jsonb, jsonb, text[]) is 'Bounds of a schema (minimum, maxLength, multipleOf ...) that values of these types that fit another one may not keep.';
