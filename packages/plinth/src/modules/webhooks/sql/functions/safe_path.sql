-- The fan-out evaluates filters of every tenant, on payloads that the tenant may choose as well, so what could take more than a few passes
-- over the payload is refused: regular expressions; ** and key-value pairs, which multiply; lists of subscripts, which multiply when they are
-- chained; comparisons of two paths and the root inside a condition, which are quadratic; multiplication, whose numbers grow. So is what
-- raises although it is evaluated silently: variables, and methods of times and decimal(). Judged on the text that PostgreSQL makes of the
-- parsed path, where keys and strings are always quoted.
create or replace function plinth_webhooks.safe_path(p_text text) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  _refused constant text := '\.((?!(?:type|size|abs|floor|ceiling|double|number|integer|bigint|boolean|string)\()[a-z_]+\()';
  _given jsonb := to_jsonb(p_text);
  _path text;
  _bare text;
  _inner text;
begin
  if p_text is null or length(p_text) > 2000 then
    return plinth_webhooks.refuse_filter('a jsonpath has at most 2,000 characters', _given);
  end if;
  begin
    _path := p_text::jsonpath::text;
  exception when others then
    return plinth_webhooks.refuse_filter('it is not a jsonpath: ' || sqlerrm, _given);
  end;
  _bare := regexp_replace(_path, '"(\\.|[^"\\])*"', '""', 'g');
  if _bare ~ 'like_regex' then
    return plinth_webhooks.refuse_filter('like_regex is not allowed: use starts with, or the filters prefix and suffix', _given);
  elsif _bare ~ '\*\*' or _bare ~ '\[[^]]*,' then
    return plinth_webhooks.refuse_filter('** and lists of subscripts are not allowed: name the way to the value', _given);
  elsif _bare ~ _refused then
    return plinth_webhooks.refuse_filter(substring(_bare from _refused) || ') is not allowed: the methods are type, size, abs, floor, ceiling, double, number, integer, bigint, boolean and string', _given);
  elsif _bare ~ ' [*/%] ' then
    return plinth_webhooks.refuse_filter('multiplication and division are not allowed', _given);
  elsif _bare ~ '^strict ' or _bare ~ '\$""' then
    return plinth_webhooks.refuse_filter('there is no strict mode and there are no variables', _given);
  elsif regexp_replace(_bare, '(==|!=|<=|>=|<|>) (""|-?[0-9]|true|false|null)', '', 'g') ~ '[=<>]' then
    return plinth_webhooks.refuse_filter('the right side of a comparison is a string, a number, true, false or null', _given);
  end if;
  -- A path into nothing is never found: nobody would hear why. Strings are passed over whole.
  select m.found[1] into _inner from regexp_matches(_path, '\$\."((?:\\.|[^"\\])*)"|"(?:\\.|[^"\\])*"', 'g') m (found) where m.found[1] <> all (plinth_webhooks.document_keys()) limit 1;
  if found then
    return plinth_webhooks.refuse_filter(format('an event has no %s, but %s', left(_inner, 200), array_to_string(plinth_webhooks.document_keys(), ', ')), _given);
  end if;
  -- From the innermost parentheses outwards.
  loop
    _inner := substring(_bare from '\??\([^()]*\)');
    exit when _inner is null;
    if _inner ~ '^\?.*\$' then
      return plinth_webhooks.refuse_filter('inside a condition ?(...) a path begins with @, not with $', _given);
    end if;
    _bare := replace(_bare, _inner, case when _inner like '?%' then '' else substr(_inner, 2, length(_inner) - 2) end);
  end loop;
  -- A path that finds something, or a predicate: one of the two parses. Both become a condition that is never unknown.
  begin
    perform ('exists(' || _path || ')')::jsonpath;
    return 'exists(' || _path || ')';
  exception when others then
    return 'exists($ ? (' || _path || '))';
  end;
end
$$;
comment on function plinth_webhooks.safe_path(text) is 'A jsonpath of a tenant as a condition that can be put into another one. Raises webhooks_filter_invalid for what does not parse or could cost more than reading the payload a few times.';
