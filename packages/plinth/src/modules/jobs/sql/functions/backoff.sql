create or replace function plinth_jobs.backoff(p_attempt integer, p_jitter double precision) returns interval
language sql immutable strict parallel safe security invoker
return least(3600, 2 ^ least(p_attempt, 20)) * (0.75 + 0.5 * p_jitter) * interval '1 second';
comment on function plinth_jobs.backoff(integer, double precision) is
  'Wait after failed attempt p_attempt (1 is the first): min(3600, 2^attempt) seconds times 0.75 to 1.25; p_jitter from 0 to 1 chooses.';
