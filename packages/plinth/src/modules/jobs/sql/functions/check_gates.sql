create or replace function plinth_jobs.check_gates(p_limit integer default 100, p_due timestamptz default clock_timestamp()) returns bigint
language plpgsql volatile security definer set search_path = '' set lock_timeout = '20ms' set jit = off set enable_seqscan = off
as $$
declare
  _check record;
  _ended jsonb;
  _looked bigint := 0;
  _open boolean;
  _waits boolean;
  _late boolean;
  _constraint text;
  -- Whoever looks settles jobs of other tenants, and waits for a transaction of this one only once.
  _busy uuid[] := '{}';
begin
  perform plinth_kernel.require_worker();
  for _check in
    with taken as (
      delete from plinth_jobs.gate_checks c where (c.tenant_id, c.id) in (select k.tenant_id, k.id from plinth_jobs.gate_checks k where k.due_at <= p_due order by k.due_at limit p_limit for update skip locked) returning c.tenant_id, c.gate_id
    )
    select distinct t.tenant_id, t.gate_id from taken t order by t.gate_id
  loop
    _looked := _looked + 1;
    if _check.tenant_id = any (_busy) then
      insert into plinth_jobs.gate_checks (tenant_id, gate_id, due_at) values (_check.tenant_id, _check.gate_id, clock_timestamp() + interval '200 milliseconds');
      continue;
    end if;
    -- Or it is a job that was ended under an old snapshot (settle_linked); no batch, which is a part of itself while it is open.
    _late := exists (select from plinth_jobs.gate_parts p where p.tenant_id = _check.tenant_id and p.job_id = _check.gate_id and p.gate_id <> p.job_id and p.status is null);
    -- A part that is open and that nobody holds will be ended later; a lock tells, and is given back at once.
    begin
      perform from plinth_jobs.gate_parts p where p.tenant_id = _check.tenant_id and p.gate_id = _check.gate_id and p.status is null limit 1 for share skip locked;
      _open := found;
      raise exception using errcode = 'UNDO1';
    exception when sqlstate 'UNDO1' then
      null;
    end;
    _waits := _open and not exists (select from plinth_jobs.gate_parts p join plinth_jobs.gates g on g.tenant_id = p.tenant_id and g.id = p.gate_id
      where p.tenant_id = _check.tenant_id and p.gate_id = _check.gate_id and p.status in ('failed', 'cancelled') and g.opens = 'job' and g.on_failure <> 'ignore');
    continue when _waits and not _late;
    begin
      if _late then
        perform plinth_jobs.end_late(_check.tenant_id, _check.gate_id);
      end if;
      -- The lock above has left its mark on the part, by which open_gate would take it for held and ask for another look, for as long as it waits.
      continue when _waits;
      _ended := plinth_jobs.open_gate(_check.tenant_id, _check.gate_id, interval '200 milliseconds');
      if _ended is not null then
        perform plinth_jobs.settle_linked(jsonb_build_array(_ended));
      end if;
    exception
      when lock_not_available then
        _busy := _busy || _check.tenant_id;
        insert into plinth_jobs.gate_checks (tenant_id, gate_id, due_at) values (_check.tenant_id, _check.gate_id, clock_timestamp() + interval '200 milliseconds');
      -- One that is refused would be so at each look, and whoever looks settles jobs of other tenants.
      when others then
        get stacked diagnostics _constraint = constraint_name;
        if not plinth_jobs.is_refusal(sqlstate, _constraint) then
          raise;
        end if;
        update plinth_jobs.gates g set error = left(format('it could not be opened: %s', sqlerrm), 1000) where g.tenant_id = _check.tenant_id and g.id = _check.gate_id;
    end;
  end loop;
  return _looked;
end
$$;
comment on function plinth_jobs.check_gates(integer, timestamptz) is 'Looks again at gates that nobody could tell about, at most p_limit of those due by p_due. Returns how many it looked at.';
