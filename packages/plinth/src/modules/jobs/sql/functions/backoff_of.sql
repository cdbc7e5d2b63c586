create or replace function plinth_jobs.backoff_of(p_policy jsonb, p_attempt integer, p_jitter double precision) returns interval
language sql immutable parallel safe security invoker
return case jsonb_typeof(p_policy)
  when 'array' then least(31536000, (p_policy ->> (least(p_attempt, jsonb_array_length(p_policy)) - 1))::double precision) * interval '1 second'
  when 'object' then least(31536000, coalesce((p_policy ->> 'most_s')::double precision, 3600), (p_policy ->> 'base_s')::double precision * 2 ^ least(p_attempt - 1, 30))
    * (1 + least(1, coalesce((p_policy ->> 'jitter')::double precision, 0.25)) * (2 * p_jitter - 1)) * interval '1 second'
  else case when p_policy = '"none"' then null else plinth_jobs.backoff(p_attempt, p_jitter) end
end;
comment on function plinth_jobs.backoff_of(jsonb, integer, double precision) is
  'Wait after failed attempt p_attempt (1 is the first) under a policy: null or "exponential" (plinth_jobs.backoff); [seconds], the last one repeats; {base_s, most_s = 3600, jitter = 0.25}: base_s doubled each time; "none": null, no further attempt. p_jitter from 0 to 1 chooses.';
