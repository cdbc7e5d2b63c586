-- A word that is not known here counts as broken when it changed: what cannot be judged must not pass for compatible.
create or replace function plinth_events.schema_words(p_from jsonb, p_to jsonb) returns table (pointer text, problem text)
language sql immutable
begin atomic
  with asked as (
    select plinth_events.schema_types(p_from) as types,
      coalesce(p_from -> 'enum', case when p_from ? 'const' then jsonb_build_array(p_from -> 'const') end) as given,
      coalesce(p_to -> 'enum', case when p_to ? 'const' then jsonb_build_array(p_to -> 'const') end) as wanted
  )
  select '/type'::text as pointer, format('must be %s, and could be %s', array_to_string(array(select jsonb_array_elements_text(case jsonb_typeof(p_to -> 'type') when 'array' then p_to -> 'type'
    else jsonb_build_array(p_to -> 'type') end)), ' or '), string_agg(t, ' or ' order by t)) as problem
  from asked as a cross join unnest(a.types) as t
  where p_to ? 'type' and not t = any (plinth_events.schema_types(p_to)) and not (t = 'integer' and 'number' = any (a.types))
  having count(*) > 0
  union all
  select '/' || case when p_to ? 'enum' then 'enum' else 'const' end, case when a.given is null then format('must be one of %s, and could be anything', a.wanted)
    else format('no longer allows %s', (select string_agg(g::text, ', ') from jsonb_array_elements(a.given) as g where not exists (select from jsonb_array_elements(a.wanted) as o where o = g))) end
  from asked as a where a.wanted is not null and (a.given is null or exists (select from jsonb_array_elements(a.given) as g
    where not exists (select from jsonb_array_elements(a.wanted) as o where o = g)))
  union all
  select '/required/' || replace(replace(r, '~', '~0'), '/', '~1'), 'is required, and could be missing'
  from asked as a cross join jsonb_array_elements_text(case jsonb_typeof(p_to -> 'required') when 'array' then p_to -> 'required' else '[]' end) as r
  where 'object' = any (a.types) and not coalesce(p_from -> 'required' ? r, false)
  union all
  select b.pointer, b.problem from asked as a cross join lateral plinth_events.schema_bounds(p_from, p_to, a.types) as b
  union all
  select '/' || replace(replace(w.key, '~', '~0'), '/', '~1'), format('%s is not what it was', w.key)
  from jsonb_each(p_to) as w
  where p_from -> w.key is distinct from w.value and w.key not like 'x-%' and w.key <> all ('{type,enum,const,minimum,exclusiveMinimum,maximum,exclusiveMaximum,multipleOf,minLength,maxLength,
    minItems,maxItems,minProperties,maxProperties,uniqueItems,required,properties,additionalProperties,items,anyOf,oneOf,allOf,$ref,$defs,definitions,$id,$schema,$anchor,$comment,title,description,
    default,example,examples,deprecated,readOnly,writeOnly}'::text[]);
end;
comment on function plinth_events.schema_words(jsonb, jsonb) is 'Where a value that fits one JSON Schema may not fit another, of the words that speak of the value itself.';
