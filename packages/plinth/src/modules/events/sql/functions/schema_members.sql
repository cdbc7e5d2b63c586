create or replace function plinth_events.schema_members(p_from jsonb, p_to jsonb, p_path text) returns table (path text, given jsonb, wanted jsonb)
language sql immutable
begin atomic
  with asked as (select plinth_events.schema_types(p_from) as types, p_from -> 'additionalProperties' as open, p_to -> 'additionalProperties' as wanted)
  select p_path || '/properties/' || replace(replace(p.key, '~', '~0'), '/', '~1') as path, coalesce(p_from -> 'properties' -> p.key, a.open) as given, p.value as wanted
  from asked as a cross join jsonb_each(case jsonb_typeof(p_to -> 'properties') when 'object' then p_to -> 'properties' else '{}' end) as p
  where 'object' = any (a.types) and (p_from -> 'properties' ? p.key or jsonb_typeof(a.open) = 'object')
  union all
  select p_path || '/properties/' || replace(replace(p.key, '~', '~0'), '/', '~1'), p.value, a.wanted
  from asked as a cross join jsonb_each(case jsonb_typeof(p_from -> 'properties') when 'object' then p_from -> 'properties' else '{}' end) as p
  where 'object' = any (a.types) and a.wanted is not null and not coalesce(p_to -> 'properties' ? p.key, false)
  union all
  select p_path || '/additionalProperties', a.open, a.wanted from asked as a
  where 'object' = any (a.types) and a.wanted is not null and jsonb_typeof(a.open) = 'object'
  union all
  select p_path || '/items', coalesce(p_from -> 'items', 'true'), p_to -> 'items' from asked as a where 'array' = any (a.types) and p_to ? 'items';
end;
comment on function plinth_events.schema_members(jsonb, jsonb, text) is 'Parts of two schemas of objects or arrays that speak of the same member, to be compared.';
