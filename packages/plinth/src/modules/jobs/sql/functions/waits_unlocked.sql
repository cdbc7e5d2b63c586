create or replace function plinth_jobs.waits_unlocked(p_tenant_id uuid, p_id uuid) returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform from plinth_jobs.jobs j where j.status = 'scheduled' and j.tenant_id = p_tenant_id and j.id = p_id for update skip locked;
  -- Not there at all: it was cancelled, and its gate has nothing to hold.
  return found or not exists (select from plinth_jobs.jobs j where j.status = 'scheduled' and j.tenant_id = p_tenant_id and j.id = p_id);
end
$$;
comment on function plinth_jobs.waits_unlocked(uuid, uuid) is 'Locks a job that waits at its gate. False: another transaction is changing it.';
