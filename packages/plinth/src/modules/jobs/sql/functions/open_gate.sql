-- Opens a gate when nothing it waits for is left. Nobody counts and nobody waits: a part that nobody is ending at this moment (it has no
-- xmax) will be ended later, and who ends it looks after that, so the last to end a part always comes past here with no such part left.
-- It may see parts that others are ending and have not committed; whether they will, it cannot tell, and leaves a gate check.
create or replace function plinth_jobs.open_gate(p_tenant_id uuid, p_id uuid, p_again interval default interval '20 milliseconds') returns jsonb
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _gate plinth_jobs.gates;
  _at_once boolean;
  _counts record;
begin
  select g.* into _gate from plinth_jobs.gates g where g.tenant_id = p_tenant_id and g.id = p_id and g.finished_at is null;
  if not found then
    return null;
  end if;
  _at_once := _gate.opens = 'job' and _gate.on_failure <> 'ignore'
    and exists (select from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status in ('failed', 'cancelled'));
  -- From the end: what was added first ends first.
  if not _at_once and (
    select true from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status is null and p.xmax = '0' order by p.job_id desc limit 1) then
    return null;
  end if;
  perform from plinth_jobs.gates g where g.tenant_id = p_tenant_id and g.id = p_id and g.finished_at is null for update skip locked;
  if not found or (not _at_once and (current_setting('transaction_isolation') <> 'read committed'
      or exists (select from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status is null)))
    or (_gate.opens = 'job' and not plinth_jobs.waits_unlocked(p_tenant_id, p_id)) then
    insert into plinth_jobs.gate_checks (tenant_id, gate_id, due_at) values (p_tenant_id, p_id, clock_timestamp() + p_again);
    return null;
  end if;
  select count(*) filter (where p.status = 'completed') as completed, count(*) filter (where p.status = 'failed') as failed, count(*) filter (where p.status = 'cancelled') as cancelled
  into _counts from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.job_id <> p_id;
  update plinth_jobs.gates g set finished_at = clock_timestamp(), completed = _counts.completed, failed = _counts.failed, cancelled = _counts.cancelled
  where g.tenant_id = p_tenant_id and g.id = p_id;
  if _gate.opens = 'job' then
    return plinth_jobs.release_job(_gate);
  end if;
  perform plinth_jobs.call_back(_gate, _counts.completed, _counts.failed, _counts.cancelled);
  return null;
end
$$;
comment on function plinth_jobs.open_gate(uuid, uuid, interval) is 'Opens a gate of which every part has ended, or leaves a gate check, due in p_again, when that cannot be told. Returns the job that failed with it, as plinth_jobs.settle_linked takes it.';
