-- Locked, so that a dead letter does not live again between the look and what follows from it.
create or replace function plinth_jobs.end_late(p_tenant_id uuid, p_id uuid) returns void
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _status text;
begin
  select j.status into _status from plinth_jobs.jobs j where j.status in ('completed', 'cancelled', 'failed') and j.tenant_id = p_tenant_id and j.id = p_id for share;
  if found then
    perform plinth_jobs.settle_linked(jsonb_build_array(jsonb_build_object('tenant_id', p_tenant_id, 'id', p_id, 'status', _status)));
  end if;
end
$$;
comment on function plinth_jobs.end_late(uuid, uuid) is 'Part of plinth_jobs.check_gates: tells what waits for a job that it has ended, if it has.';
