-- A share lock on a part that is open keeps the part, and so the batch, from ending before this transaction does. First the job that adds,
-- when it is one of them: then nobody else waits.
create or replace function plinth_jobs.hold_open(p_tenant_id uuid, p_batch_id uuid) returns void
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
begin
  perform from plinth_jobs.gate_parts p
  where p.tenant_id = p_tenant_id and p.gate_id = p_batch_id and p.job_id = plinth_kernel.causation_id() and p.status is null for share;
  if found then
    return;
  end if;
  perform from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_batch_id and p.job_id = p_batch_id and p.status is null for share;
  if found then
    return;
  end if;
  perform from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_batch_id and p.status is null limit 1 for share skip locked;
  if not found then
    raise exception 'Batch % has finished or does not exist', p_batch_id using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_batch_finished', 'batch_id', p_batch_id)::text, hint = 'Add jobs while one of its jobs is not over, or make the batch with open: true and close it.';
  end if;
end
$$;
comment on function plinth_jobs.hold_open(uuid, uuid) is 'Keeps a batch from finishing until the end of this transaction. Error: jobs_batch_finished.';
