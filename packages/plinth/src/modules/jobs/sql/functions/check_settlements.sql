-- Whoever writes a worker by hand would take the silence about a row that names no outcome for a lease that was lost.
create or replace function plinth_jobs.check_settlements(p_rows jsonb) returns void
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  _outcomes constant text[] := '{completed, failed, cancelled, lost, snoozed, returned}';
  _wrong record;
begin
  if jsonb_typeof(p_rows) <> 'array' then
    raise exception 'Outcomes are a JSON array of objects' using errcode = 'PL422', detail = '{"code":"jobs_settlement_invalid"}',
      hint = 'Give [{"tenant_id": ..., "id": ..., "run_id": ..., "outcome": "completed"}, ...], as plinth_jobs.claim returned them.';
  end if;
  select e.n, f.fault into _wrong from jsonb_array_elements(p_rows) with ordinality as e (given, n) cross join lateral (select case
    when e.given ->> 'tenant_id' is null then 'it has no tenant_id'
    when e.given ->> 'id' is null then 'it has no id'
    when e.given ->> 'run_id' is null then 'it has no run_id'
    when e.given ->> 'outcome' is null then 'it has no outcome'
    when e.given ->> 'outcome' <> all (_outcomes) then format('there is no outcome %s', left(e.given ->> 'outcome', 100))
  end as fault) as f where f.fault is not null order by e.n limit 1;
  if found then
    raise exception 'Outcome % of % is not valid: %', _wrong.n, jsonb_array_length(p_rows), _wrong.fault using errcode = 'PL422',
      detail = jsonb_build_object('code', 'jobs_settlement_invalid', 'row', _wrong.n)::text,
      hint = format('Give tenant_id, id and run_id as plinth_jobs.claim returned them, and one of the outcomes %s.', array_to_string(_outcomes, ', '));
  end if;
end
$$;
comment on function plinth_jobs.check_settlements(jsonb) is 'Part of plinth_jobs.settle. Error: jobs_settlement_invalid for the first outcome that names no job, no attempt or no outcome that there is.';
