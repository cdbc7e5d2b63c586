-- Judged from the schemas alone, and strictly: what may break is told, even where no value that breaks was ever written. With one exception, without
-- which no property could ever be added: a property that `from` does not name counts as absent, although JSON Schema would allow it.
create or replace function plinth_events.schema_breaks(p_from jsonb, p_to jsonb, p_from_root jsonb, p_to_root jsonb, p_path text default '', p_seen text[] default '{}',
  p_until timestamptz default pg_catalog.clock_timestamp() + interval '5 seconds')
returns table (pointer text, problem text)
language plpgsql volatile
as $$
declare
  _from pg_catalog.jsonb := plinth_events.schema_target(p_from, p_from_root);
  _to pg_catalog.jsonb := plinth_events.schema_target(p_to, p_to_root);
  _seen pg_catalog.text[] := p_seen || pg_catalog.md5(_from::text || ' ' || _to::text);
  _word pg_catalog.text;
  _part pg_catalog.jsonb;
begin
  -- Alternatives are compared with alternatives: where references fork, each level may take as many times as long as the one below.
  if pg_catalog.clock_timestamp() > p_until then
    raise exception 'comparing the schema with its versions takes longer than 5 s' using errcode = 'PL422', detail = '{"code":"events_type_invalid"}',
      hint = 'Have fewer alternatives and references in one another, or register it with compatibility none.';
  end if;
  if _seen[pg_catalog.cardinality(_seen)] = any (p_seen) or _from -> 'not' = '{}'
    or (_from = _to and (p_from_root = p_to_root or pg_catalog.strpos(_to::text, '"$ref"') = 0)) then
    return;
  elsif pg_catalog.cardinality(p_seen) >= 64 then
    return query select p_path, 'lies too deep to be compared';
    return;
  elsif _to -> 'not' = '{}' then
    return query select p_path, 'is not allowed';
    return;
  end if;
  -- What fits one of several fits the whole only if each of them does.
  foreach _word in array array['anyOf', 'oneOf'] loop
    if pg_catalog.jsonb_typeof(_from -> _word) = 'array' then
      for _part in select e.value from pg_catalog.jsonb_array_elements(_from -> _word) as e loop
        return query select * from plinth_events.schema_breaks((_from - _word) || plinth_events.schema_target(_part, p_from_root), _to, p_from_root, p_to_root, p_path, _seen, p_until);
      end loop;
      return;
    end if;
  end loop;
  foreach _word in array array['anyOf', 'oneOf'] loop
    if pg_catalog.jsonb_typeof(_to -> _word) = 'array' then
      if not exists (select from pg_catalog.jsonb_array_elements(_to -> _word) as e
        where not exists (select from plinth_events.schema_breaks(_from, e.value, p_from_root, p_to_root, p_path, _seen, p_until))) then
        return query select p_path || '/' || _word, 'fits none of the alternatives for certain'::text;
      end if;
    end if;
  end loop;
  if pg_catalog.jsonb_typeof(_from -> 'allOf') = 'array' then
    for _part in select e.value from pg_catalog.jsonb_array_elements(_from -> 'allOf') as e loop
      _from := plinth_events.schema_target(_part, p_from_root) || _from;
    end loop;
  end if;
  if pg_catalog.jsonb_typeof(_to -> 'allOf') = 'array' then
    for _part in select e.value from pg_catalog.jsonb_array_elements(_to -> 'allOf') as e where not coalesce(_from -> 'allOf' @> pg_catalog.jsonb_build_array(e.value), false) loop
      return query select * from plinth_events.schema_breaks(_from, _part, p_from_root, p_to_root, p_path || '/allOf', _seen, p_until);
    end loop;
  end if;
  return query select p_path || w.pointer, w.problem from plinth_events.schema_words(_from, _to) as w;
  return query select b.pointer, b.problem
  from plinth_events.schema_members(_from, _to, p_path) as m
  cross join lateral plinth_events.schema_breaks(m.given, m.wanted, p_from_root, p_to_root, m.path, _seen, p_until) as b;
end
$$;
comment on function plinth_events.schema_breaks(jsonb, jsonb, jsonb, jsonb, text, text[], timestamptz) is
  'Where, as JSON Pointers into the schema, a value that fits p_from may not fit p_to, and why; nothing when it fits for certain. The roots are the documents that references lead into. Error events_type_invalid when it is not done at p_until.';
