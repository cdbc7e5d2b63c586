-- What a job is linked to, besides its own row. Only rows that are marked come here, so that the others cost nothing.
create or replace function plinth_jobs.settle_linked(p_ended jsonb) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
begin
  delete from plinth_jobs.unique_keys u
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, id uuid, kind text, unique_key text, status text)
  where e.status is not null and u.tenant_id = e.tenant_id and u.kind = e.kind and u.key = e.unique_key and u.job_id = e.id
    and (u.until <> 'window' or u.expires_at <= clock_timestamp()) and (_tenant is null or e.tenant_id = _tenant);
  delete from plinth_jobs.cancel_requests r
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, id uuid, run_id uuid)
  where r.tenant_id = e.tenant_id and r.job_id = e.id and r.run_id = e.run_id and (_tenant is null or e.tenant_id = _tenant);
  delete from plinth_jobs.holds h
  using jsonb_to_recordset(p_ended) as e (tenant_id uuid, run_id uuid)
  where h.tenant_id = e.tenant_id and h.run_id = e.run_id and (_tenant is null or e.tenant_id = _tenant);
end
$$;
comment on function plinth_jobs.settle_linked(jsonb) is 'Releases what attempts that ended held, [{tenant_id, id, run_id, kind, unique_key, status}]; status null: the job will run again.';
