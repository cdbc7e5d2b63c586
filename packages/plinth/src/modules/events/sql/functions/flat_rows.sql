-- An append is one effect, so that an error names it as a whole, and brings its events as `rows`.
create or replace function plinth_events.flat_rows(p_rows jsonb) returns jsonb
language sql immutable security invoker
begin atomic
  select jsonb_agg(coalesce(i.value, r.value) order by r.nth, i.nth)
  from jsonb_array_elements(p_rows) with ordinality as r (value, nth)
  left join lateral jsonb_array_elements(r.value -> 'rows') with ordinality as i (value, nth) on true;
end;
comment on function plinth_events.flat_rows(jsonb) is 'Rows to be written, with {rows: [...]} replaced by the rows in it.';
