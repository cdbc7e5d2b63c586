-- The longest way to each: so a job comes after all that it depends on, which its gate then waits for.
create or replace function plinth_jobs.revive_dependents(p_tenant_id uuid, p_id uuid, p_more_attempts integer) returns bigint
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _id uuid;
  _revived bigint := 0;
begin
  for _id in
    with recursive after (id, step) as (
      select p_id, 0
      union
      select p.gate_id, a.step + 1 from after a
      join plinth_jobs.gate_parts p on p.tenant_id = p_tenant_id and p.job_id = a.id and p.status = 'failed'
      join plinth_jobs.gates g on g.tenant_id = p.tenant_id and g.id = p.gate_id and g.opens = 'job' and g.on_failure = 'fail'
    )
    select a.id from after a where a.id <> p_id group by a.id order by max(a.step), a.id limit 10000
  loop
    begin
      _revived := _revived + plinth_jobs.revive(p_tenant_id, _id, p_more_attempts, null, null)::integer;
    exception when sqlstate 'PL409' then
      -- Another job holds its unique key, or it depends on another one that failed.
      null;
    end;
  end loop;
  return _revived;
end
$$;
comment on function plinth_jobs.revive_dependents(uuid, uuid, integer) is
  'Makes dead letters live again that failed because of this job, and those that failed because of them, at most 10,000; they wait for it. Returns how many.';
