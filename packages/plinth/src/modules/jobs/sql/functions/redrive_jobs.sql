create or replace function plinth.redrive_jobs(
  p_filter jsonb default '{}',
  p_limit integer default 1000,
  p_after uuid default null,
  p_more_attempts integer default 3,
  p_payload jsonb default null,
  p_run_at timestamptz default null,
  p_per_second double precision default null,
  p_cancel boolean default false
) returns table (redriven bigint, skipped bigint, last_id uuid, next_run_at timestamptz, more boolean)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _filter jsonb := plinth_jobs.checked_filter(p_filter);
  _limit integer := least(greatest(p_limit, 1), 1000);
  _plain uuid[];
  _others uuid[];
  _id uuid;
  _gap interval;
  _at timestamptz := greatest(p_run_at, case when p_per_second is not null then clock_timestamp() end);
begin
  if p_per_second not between 0.001 and 100000 or jsonb_typeof(p_payload) <> 'object' or p_run_at in ('infinity', '-infinity') then
    raise exception 'The rate is 0.001 to 100,000 jobs a second, a payload is a JSON object and a time is finite' using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Correct the argument that is out of range.';
  end if;
  _gap := interval '1 second' / p_per_second;
  select coalesce(array_agg(d.id order by d.id) filter (where d.plain and not p_cancel), '{}'), coalesce(array_agg(d.id order by d.id) filter (where not d.plain or p_cancel), '{}')
  into _plain, _others from plinth_jobs.dead_letters(_tenant, _filter, p_after, _limit) d;
  last_id := greatest(_plain[cardinality(_plain)], _others[cardinality(_others)]);
  more := cardinality(_plain) + cardinality(_others) = _limit;
  redriven := plinth_jobs.revive_plain(_tenant, _plain, p_more_attempts, p_payload, _at, _gap);
  skipped := cardinality(_plain) - redriven;
  _at := _at + coalesce(_gap * cardinality(_plain), interval '0');
  foreach _id in array _others loop
    begin
      if p_cancel then
        perform plinth.cancel_job(_id, null);
      elsif not plinth_jobs.revive(_tenant, _id, p_more_attempts, p_payload, _at) then
        -- Somebody else was first.
        skipped := skipped + 1;
        continue;
      end if;
      redriven := redriven + 1;
      _at := _at + coalesce(_gap, interval '0');
    exception when sqlstate 'PL409' or sqlstate 'PL404' then
      -- Another job holds its unique key, one that it depends on is still a dead letter, or it is none any more.
      skipped := skipped + 1;
    end;
  end loop;
  next_run_at := _at;
  if redriven > 0 then
    perform plinth.log_audit_event(p_action := case when p_cancel then 'jobs.dead_letters_cancelled' else 'jobs.redriven' end, p_resource_type := 'job',
      p_metadata := jsonb_strip_nulls(jsonb_build_object('filter', _filter, 'jobs', redriven, 'skipped', skipped, 'last_id', last_id, 'new_payload', p_payload is not null, 'per_second', p_per_second)));
  end if;
  return next;
end
$$;
comment on function plinth.redrive_jobs(jsonb, integer, uuid, integer, jsonb, timestamptz, double precision, boolean) is
  'Runs dead letters again that meet p_filter {kind, queue, error, failed_after, failed_before}, a page of at most 1,000 in the order of their ids; call it again with p_after := last_id and p_run_at := next_run_at while more is true, each page in a transaction of its own. p_per_second (0.001 to 100,000) spreads them over time, p_payload is another payload for all of them, p_cancel cancels them instead. One that depends on others waits for those of them that live again. skipped: another job holds the unique key, a job that it depends on failed and does not live again, or somebody else was first. Each page is an audit entry. Errors: jobs_filter_invalid, jobs_job_invalid.';
