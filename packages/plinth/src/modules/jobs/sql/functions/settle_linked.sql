-- What a job is linked to, besides its own row. Only rows that are marked come here, so that the others cost nothing. A job that fails
-- because of one that ended here has ended, too: hence the loop.
create or replace function plinth_jobs.settle_linked(p_ended jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _ended jsonb := p_ended;
  _next jsonb;
  _gate record;
  _failed jsonb;
  _all jsonb := '[]';
begin
  if _tenant is null and exists (select from plinth_jobs.gate_checks c where c.due_at <= (select clock_timestamp())) then
    perform plinth_jobs.check_gates();
  end if;
  delete from plinth_jobs.cancel_requests r
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, id uuid, run_id uuid)
  where r.tenant_id = e.tenant_id and r.job_id = e.id and r.run_id = e.run_id and (_tenant is null or e.tenant_id = _tenant);
  delete from plinth_jobs.holds h
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, run_id uuid)
  where h.tenant_id = e.tenant_id and h.run_id = e.run_id and (_tenant is null or e.tenant_id = _tenant);
  delete from plinth_jobs.retry_policies r
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, id uuid, status text)
  where e.status in ('completed', 'cancelled') and r.tenant_id = e.tenant_id and r.job_id = e.id and (_tenant is null or e.tenant_id = _tenant);
  loop
    delete from plinth_jobs.unique_keys u
    using jsonb_to_recordset(_ended) as e (tenant_id uuid, id uuid, kind text, unique_key text, status text)
    where e.status is not null and u.tenant_id = e.tenant_id and u.kind = e.kind and u.key = e.unique_key and u.job_id = e.id
      and (u.until <> 'window' or u.expires_at <= clock_timestamp()) and (_tenant is null or e.tenant_id = _tenant);
    update plinth_jobs.gates g set finished_at = clock_timestamp()
    from jsonb_to_recordset(_ended) as e (tenant_id uuid, id uuid, status text)
    where e.status is not null and g.tenant_id = e.tenant_id and g.id = e.id and g.opens = 'job' and g.finished_at is null and (_tenant is null or e.tenant_id = _tenant);
    -- What was made to depend on them since this snapshot is not in it, and that transaction has found them running: a check sees both.
    if current_setting('transaction_isolation') <> 'read committed' then
      insert into plinth_jobs.gate_checks (tenant_id, gate_id)
      select e.tenant_id, e.id from jsonb_to_recordset(_ended) as e (tenant_id uuid, id uuid, status text) where e.status is not null and (_tenant is null or e.tenant_id = _tenant);
    end if;
    _next := null;
    for _gate in
      with ended as (
        update plinth_jobs.gate_parts p set status = e.status, ended_at = clock_timestamp()
        from jsonb_to_recordset(_ended) as e (tenant_id uuid, id uuid, status text)
        where e.status is not null and p.tenant_id = e.tenant_id and p.job_id = e.id and p.status is null and (_tenant is null or e.tenant_id = _tenant)
        returning p.tenant_id, p.gate_id
      )
      select distinct n.tenant_id, n.gate_id from ended n order by n.gate_id
    loop
      _failed := plinth_jobs.open_gate(_gate.tenant_id, _gate.gate_id);
      if _failed is not null then
        _next := coalesce(_next, '[]') || _failed;
      end if;
    end loop;
    exit when _next is null;
    _all := _all || _next;
    _ended := _next;
  end loop;
  return _all;
end
$$;
comment on function plinth_jobs.settle_linked(jsonb) is 'Releases what attempts that ended held, [{tenant_id, id, run_id, kind, unique_key, status}]; status null: the job will run again. Returns the jobs that failed because of these, [{tenant_id, id, kind, unique_key, status, correlation_id, error}].';
