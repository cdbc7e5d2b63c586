create or replace function plinth_jobs.backoff_valid(p_backoff jsonb) returns boolean
language sql immutable parallel safe security invoker
return case jsonb_typeof(p_backoff)
  when 'string' then p_backoff in ('"exponential"', '"none"')
  when 'array' then jsonb_array_length(p_backoff) between 1 and 100 and not p_backoff @? '$[*] ? (@.type() != "number" || @ < 0 || @ > 31536000)'
  when 'object' then p_backoff ? 'base_s' and not p_backoff @? '$.keyvalue() ? (@.value.type() != "number" || @.value < 0 || @.value > 31536000 || (@.key == "jitter" && @.value > 1))'
  when 'null' then true
  else p_backoff is null
end;
comment on function plinth_jobs.backoff_valid(jsonb) is 'Whether plinth_jobs.backoff_of understands it: waits of a year at most, jitter to 1; null is exponential.';
