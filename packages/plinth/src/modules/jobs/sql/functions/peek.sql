-- A sequence is one buffer and no snapshot work: what idle workers ask, several times a second.
create or replace function plinth_jobs.peek() returns table (last bigint, due_in_ms double precision)
language sql volatile security definer set search_path = ''
as $$
  select plinth_kernel.require_worker();
  select (select s.last_value from plinth_jobs.job_seq s),
    (select greatest(0, extract(epoch from least(
        (select j.run_at from plinth_jobs.jobs_scheduled j where j.run_at > (select clock_timestamp()) - interval '1 minute' order by j.run_at limit 1),
        (select c.due_at from plinth_jobs.gate_checks c order by c.due_at limit 1),
        plinth_jobs.next_room_at()) - clock_timestamp()) * 1000)::double precision)
$$;
comment on function plinth_jobs.peek() is 'Number of the last job that was enqueued or became ready, and ms until the next scheduled job or gate check is due, a rate allows another start or a pause ends (null: none). For plinth_worker.';
