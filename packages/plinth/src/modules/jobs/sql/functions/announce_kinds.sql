-- `is distinct from` keeps an unchanged fleet from writing: every worker announces at its start, and workers start in herds.
create or replace function plinth_jobs.announce_kinds(p_kinds jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_jobs.kinds as k (kind, summary, max_attempts, timeout_ms, backoff, max_lost)
  select e.kind, e.summary, e.max_attempts, e.timeout_ms, case when plinth_jobs.backoff_valid(e.backoff) then nullif(e.backoff, 'null') end, coalesce(e.max_lost, 3)
  from jsonb_to_recordset(p_kinds) as e (kind text, summary text, max_attempts smallint, timeout_ms integer, backoff jsonb, max_lost smallint)
  order by e.kind
  on conflict (kind) do update set summary = excluded.summary, max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, backoff = excluded.backoff, max_lost = excluded.max_lost,
    seen_at = clock_timestamp()
  where (k.summary, k.max_attempts, k.timeout_ms, k.backoff, k.max_lost) is distinct from (excluded.summary, excluded.max_attempts, excluded.timeout_ms, excluded.backoff, excluded.max_lost)
$$;
comment on function plinth_jobs.announce_kinds(jsonb) is 'A worker tells which kinds of job it handles, [{kind, summary, max_attempts, timeout_ms, backoff, max_lost}].';
