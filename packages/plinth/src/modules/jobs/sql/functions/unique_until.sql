create or replace function plinth_jobs.unique_until(p_more jsonb) returns text
language sql immutable parallel safe security invoker
return case
  when p_more ? 'unique_for_ms' then 'window'
  when p_more ? 'unique_until' then p_more ->> 'unique_until'
  when p_more ->> 'on_duplicate' in ('replace', 'debounce') then 'started'
  else 'done'
end;
comment on function plinth_jobs.unique_until(jsonb) is 'When the unique key of a row of plinth_jobs.write_special is free again: done, started or window.';
