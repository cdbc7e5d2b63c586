-- The wait of a debounced job begins when its key was taken, and max_wait_ms ends it.
create or replace function plinth_jobs.put_off(p_more jsonb, p_first timestamptz) returns timestamptz
language sql volatile security invoker set search_path = ''
as $$
  select case when p_more ->> 'on_duplicate' = 'debounce' and p_more ? 'max_wait_ms'
    then greatest(least(t.at, p_first + (p_more ->> 'max_wait_ms')::double precision * interval '1 millisecond'), clock_timestamp()) else t.at end
  from (select coalesce((p_more ->> 'run_at')::timestamptz, clock_timestamp() + coalesce((p_more ->> 'delay_ms')::double precision, 0) * interval '1 millisecond')) as t (at)
$$;
comment on function plinth_jobs.put_off(jsonb, timestamptz) is 'When a waiting job runs whose key was taken at p_first and which a row with `more` of plinth_jobs.write_special replaces.';
