-- The ids of one call share their millisecond and count up in the 12 bits after it, so that the order of the lines is that of their ids
-- on every version of PostgreSQL: readers go on after the last id they saw.
create or replace function plinth_jobs.write_logs(p_rows jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_jobs.logs (tenant_id, id, job_id, run_id, attempt, message, fields, created_at)
  select g.tenant_id, (left(b.id, 15) || lpad(to_hex(r.n), 3, '0') || substr(plinth_kernel.uuid_v7()::text, 19))::uuid, g.job_id, g.run_id, g.attempt, g.message, g.fields,
    b.now - coalesce(g.ago_ms, 0) * interval '1 millisecond'
  from (select plinth_kernel.uuid_v7()::text as id, clock_timestamp() as now) b
    cross join jsonb_array_elements(p_rows) with ordinality as r (line, n)
    cross join lateral jsonb_to_record(r.line) as g (tenant_id uuid, job_id uuid, run_id uuid, attempt smallint, message text, fields jsonb, ago_ms double precision)
$$;
comment on function plinth_jobs.write_logs(jsonb) is
  'Keeps lines with jobs, at most 4,000 a call: [{tenant_id, job_id, run_id, attempt, message, fields, ago_ms}]; ago_ms: how long ago it was written. For plinth_worker.';
