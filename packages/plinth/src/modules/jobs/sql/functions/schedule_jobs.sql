create or replace function plinth.schedule_jobs(p_jobs jsonb) returns uuid[]
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _rows jsonb;
  _bad record;
  _ids uuid[];
  -- A misspelt run_at would be a job that runs at once, a misspelt unique_key none.
  _fields constant text[] := '{job_type, job_name, payload, priority, run_at, delay_ms, max_attempts, queue, unique_key, unique_until, unique_for_ms, on_duplicate, max_wait_ms, concurrency_key, deadline, depends_on, on_dependency_failure, batch_id, backoff, id, causation_id}';
begin
  if jsonb_typeof(p_jobs) is distinct from 'array' or jsonb_array_length(p_jobs) > 50000 or p_jobs @? 'strict $[*] ? (@.type() != "object")' then
    raise exception 'Jobs are given as a JSON array of at most 50000 objects' using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Give [{"job_type": "invoice.send", "payload": {}}, ...], and call it again for the rest.';
  end if;
  select e.n, e.reason into _bad from (
    select x.n, case
      when x.job - _fields <> '{}' then format('there is no field %s; it takes %s', (select min(k) from jsonb_object_keys(x.job - _fields) k), array_to_string(_fields, ', '))
      when coalesce(length(r.job_type), 0) not between 1 and 200 then 'job_type has 1 to 200 characters'
      when coalesce(jsonb_typeof(r.payload), 'object') <> 'object' then 'payload is a JSON object'
      when r.priority not between 1 and 100 then 'priority is 1 to 100'
      when r.max_attempts not between 1 and 1000 then 'max_attempts is 1 to 1000'
      when length(r.queue) not between 1 and 100 then 'queue has 1 to 100 characters'
      when length(r.job_name) > 500 then 'job_name has at most 500 characters'
      when length(r.concurrency_key) > 200 then 'concurrency_key has at most 200 characters'
      when length(r.unique_key) not between 1 and 500 then 'unique_key has 1 to 500 characters'
      when r.unique_until not in ('done', 'started') then 'unique_until is done or started'
      when r.on_duplicate not in ('keep', 'reject', 'replace', 'debounce') then 'on_duplicate is keep, reject, replace or debounce'
      when r.on_duplicate = 'debounce' and r.run_at is null and r.delay_ms is null then 'debounce needs run_at or delay_ms'
      when r.run_at in ('infinity', '-infinity') then 'run_at is a finite time'
      when r.unique_key is null and coalesce(r.on_duplicate, r.unique_until, r.unique_for_ms::text) is not null then 'on_duplicate, unique_until and unique_for_ms need a unique_key'
      when r.unique_for_ms not between 1 and 31622400000 or r.max_wait_ms not between 1 and 31622400000 then 'unique_for_ms and max_wait_ms are ms, of a year at most'
      when r.on_dependency_failure not in ('fail', 'ignore', 'run') then 'on_dependency_failure is fail, ignore or run'
      when not plinth_jobs.backoff_valid(r.backoff) then 'backoff is "exponential", "none", 1 to 100 numbers of seconds, or {"base_s", "most_s", "jitter"}: seconds of a year at most, jitter from 0 to 1'
      when pg_column_size(r.payload) >= 40000 and octet_length(r.payload::text) > 262144 then 'size'
    end as reason
    from jsonb_array_elements(p_jobs) with ordinality as x (job, n) cross join lateral jsonb_to_record(x.job) as r (job_type text, job_name text, payload jsonb, priority integer, max_attempts integer,
      queue text, concurrency_key text, unique_key text, unique_until text, unique_for_ms double precision, on_duplicate text, max_wait_ms double precision, run_at timestamptz,
      delay_ms double precision, on_dependency_failure text, backoff jsonb)) e
  where e.reason is not null order by e.n limit 1;
  -- Only ids that come from outside are looked up; those made here are new. Of two transactions that give one at the same moment neither sees the other.
  if _bad.reason is null and p_jobs @? '$[*].id ? (@ != null)' then
    with given as materialized (
      select x.n, (x.job ->> 'id')::uuid as id from jsonb_array_elements(p_jobs) with ordinality as x (job, n) where x.job ->> 'id' is not null
    ), taken as (
      select j.id, 0 as n from plinth_jobs.jobs j where j.tenant_id = plinth_kernel.tenant_id() and j.id = any (array(select g.id from given g))
      union all
      select g.id, min(g.n) from given g group by g.id having count(*) > 1
    )
    select g.n, format('id %s is taken', g.id) as reason into _bad from given g join taken t on t.id = g.id and g.n > t.n order by g.n limit 1;
  end if;
  if _bad.reason = 'size' then
    raise exception 'The payload of job % of % is larger than 262144 bytes', _bad.n, jsonb_array_length(p_jobs)
      using errcode = 'PL413', detail = jsonb_build_object('code', 'jobs_payload_too_large', 'limit_bytes', 262144, 'row', _bad.n)::text, hint = 'Store the data in a table or a file and put its id into the payload.';
  elsif _bad.reason is not null then
    raise exception 'Job % of % is not valid: %', _bad.n, jsonb_array_length(p_jobs), _bad.reason
      using errcode = 'PL422', detail = jsonb_build_object('code', 'jobs_job_invalid', 'row', _bad.n)::text, hint = 'Correct the job that is named.';
  end if;
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('kind', x.job -> 'job_type', 'name', x.job -> 'job_name', 'queue', x.job -> 'queue', 'priority', x.job -> 'priority',
      'concurrency_key', x.job -> 'concurrency_key', 'max_attempts', x.job -> 'max_attempts', 'deadline', x.job -> 'deadline', 'causation_id', x.job -> 'causation_id',
      'more', (select jsonb_object_agg(m.key, m.value) from jsonb_each(x.job) m where m.value <> 'null' and m.value <> '[]' and m.key in ('run_at', 'delay_ms', 'unique_key',
        'unique_until', 'unique_for_ms', 'on_duplicate', 'max_wait_ms', 'depends_on', 'on_dependency_failure', 'batch_id', 'backoff'))))
    || jsonb_build_object('id', i.id, 'payload', coalesce(nullif(x.job -> 'payload', 'null'), '{}')) order by x.n), '[]'),
    array_agg(i.id order by x.n)
  into _rows, _ids
  from jsonb_array_elements(p_jobs) with ordinality as x (job, n) cross join lateral (select coalesce((x.job ->> 'id')::uuid, plinth_kernel.uuid_v7()) as id offset 0) i;
  perform plinth_jobs.write_effects(_rows);
  if _rows @? '$[*].more.unique_key' then
    -- A holder may have ended between the two statements: then the id is that of a job that is not there any more.
    -- Under an old snapshot two rows of a key are seen: the one that was there, and the own.
    select array_agg(coalesce((select u.job_id from plinth_jobs.unique_keys u where u.tenant_id = plinth_kernel.tenant_id() and u.kind = r.job ->> 'kind'
      and u.key = r.job -> 'more' ->> 'unique_key' order by u.created_at desc limit 1), (r.job ->> 'id')::uuid) order by r.n) into _ids
    from jsonb_array_elements(_rows) with ordinality as r (job, n);
  end if;
  return coalesce(_ids, '{}');
end
$$;
comment on function plinth.schedule_jobs(jsonb) is
  'Enqueues many jobs in the transaction of the caller, at most 50,000, [{job_type, job_name, payload, priority, run_at, delay_ms, max_attempts, queue, unique_key, unique_until, unique_for_ms, on_duplicate, max_wait_ms, concurrency_key, deadline, depends_on, on_dependency_failure, batch_id, backoff, id}], and returns their ids in order; in place of a duplicate that of the holder. An id that is given must be new. Errors: those of plinth.schedule_job, which name the row.';
