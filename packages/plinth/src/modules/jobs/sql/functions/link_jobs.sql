-- What jobs that were just inserted are linked to: waits of their own, batches, and jobs that they wait for.
create or replace function plinth_jobs.link_jobs(p_rows jsonb, p_dropped uuid[], p_all jsonb) returns void
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _gates uuid[] := '{}';
  _batch uuid;
  _failed jsonb;
begin
  insert into plinth_jobs.retry_policies (tenant_id, job_id, backoff)
  select _tenant, (e.job ->> 'id')::uuid, e.job -> 'more' -> 'backoff' from jsonb_array_elements(p_rows) as e (job)
  where e.job -> 'more' ? 'backoff' and (e.job ->> 'id')::uuid <> all (p_dropped);

  insert into plinth_jobs.gates (tenant_id, id, opens, name, on_complete, on_success, on_part_failure, actor_type, actor_id, correlation_id, causation_id)
  select _tenant, (e.job ->> 'id')::uuid, 'batch', b.name, b.on_complete, b.on_success, b.on_failure, c.actor_type, c.actor_id, c.correlation_id, coalesce((e.job ->> 'causation_id')::uuid, c.causation_id)
  from plinth_kernel.current_context() c cross join jsonb_array_elements(p_all) as e (job)
  cross join lateral jsonb_to_record(e.job -> 'more' -> 'batch') as b (name text, on_complete jsonb, on_success jsonb, on_failure jsonb)
  where e.job -> 'more' ? 'batch';
  select coalesce(array_agg((e.job ->> 'id')::uuid), '{}') into _gates from jsonb_array_elements(p_all) as e (job) where e.job -> 'more' ? 'batch';
  insert into plinth_jobs.gate_parts (tenant_id, gate_id, job_id)
  select _tenant, (e.job ->> 'id')::uuid, (e.job ->> 'id')::uuid from jsonb_array_elements(p_all) as e (job) where e.job -> 'more' -> 'batch' ->> 'open' = 'true';

  for _batch in
    select distinct (e.job -> 'more' ->> 'batch_id')::uuid as id from jsonb_array_elements(p_rows) as e (job)
    where e.job -> 'more' ? 'batch_id' and (e.job -> 'more' ->> 'batch_id')::uuid <> all (_gates) order by id
  loop
    perform plinth_jobs.hold_open(_tenant, _batch);
  end loop;
  insert into plinth_jobs.gate_parts (tenant_id, gate_id, job_id)
  select _tenant, (e.job -> 'more' ->> 'batch_id')::uuid, (e.job ->> 'id')::uuid from jsonb_array_elements(p_rows) as e (job)
  where e.job -> 'more' ? 'batch_id' and (e.job ->> 'id')::uuid <> all (p_dropped);

  insert into plinth_jobs.gates (tenant_id, id, opens, on_failure, run_at, actor_type, actor_id, correlation_id, causation_id)
  select _tenant, (e.job ->> 'id')::uuid, 'job', coalesce(m.on_dependency_failure, 'fail'), coalesce(m.run_at, clock_timestamp() + m.delay_ms * interval '1 millisecond'),
    c.actor_type, c.actor_id, c.correlation_id, coalesce((e.job ->> 'causation_id')::uuid, c.causation_id)
  from plinth_kernel.current_context() c cross join jsonb_array_elements(p_rows) as e (job)
  cross join lateral jsonb_to_record(e.job -> 'more') as m (on_dependency_failure text, run_at timestamptz, delay_ms double precision)
  where e.job -> 'more' ? 'depends_on' and (e.job ->> 'id')::uuid <> all (p_dropped);
  _gates := _gates || plinth_jobs.link_dependencies(_tenant, p_rows, p_dropped);

  for _batch in select (e.job -> 'more' ->> 'close_batch')::uuid from jsonb_array_elements(p_all) as e (job) where e.job -> 'more' ? 'close_batch' loop
    -- Not whatever has this id: a job that others wait for would be taken for ended.
    if not exists (select from plinth_jobs.gates g where g.tenant_id = _tenant and g.id = _batch and g.opens = 'batch') then
      raise exception 'There is no batch %', _batch using errcode = 'PL404', detail = jsonb_build_object('code', 'jobs_batch_not_found', 'batch_id', _batch)::text,
        hint = 'Check the id and the tenant; batches are kept for 30 days.';
    end if;
    perform plinth_jobs.settle_linked(jsonb_build_array(jsonb_build_object('tenant_id', _tenant, 'id', _batch, 'status', 'completed')));
  end loop;
  -- A batch without jobs, and a job of which every dependency has ended.
  foreach _batch in array _gates loop
    _failed := plinth_jobs.open_gate(_tenant, _batch);
    if _failed is not null then
      perform plinth_jobs.settle_linked(jsonb_build_array(_failed));
    end if;
  end loop;
end
$$;
comment on function plinth_jobs.link_jobs(jsonb, uuid[], jsonb) is
  'Part of plinth_jobs.write_special: batches, dependencies and waits of p_rows, without those of p_dropped; p_all also has the rows that are no jobs. Errors: jobs_dependency_not_found, jobs_batch_finished, jobs_batch_not_found.';
