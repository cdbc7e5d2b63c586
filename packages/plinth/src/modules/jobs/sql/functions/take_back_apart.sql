create or replace function plinth_jobs.take_back_apart(p_claims plinth_jobs.claims[], out taken bigint, out failed jsonb)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _claim plinth_jobs.claims;
  _back record;
  _constraint text;
  _whole boolean;
  -- Tenants whose transactions hold what their jobs are linked to: one wait for each is enough.
  _busy uuid[] := '{}';
  _left_tenants uuid[];
  _left_jobs uuid[];
begin
  taken := 0;
  failed := '[]';
  foreach _claim in array p_claims loop
    _left_tenants := '{}';
    _left_jobs := '{}';
    _whole := not _claim.tenant_ids && _busy;
    for _part in 0 .. cardinality(_claim.job_ids) loop
      -- First all of the claim, then, if that was refused, one job after the other.
      exit when _part > 0 and _whole;
      continue when _part = 0 and not _whole;
      if _claim.tenant_ids[_part] = any (_busy) then
        _left_tenants := _left_tenants || _claim.tenant_ids[_part];
        _left_jobs := _left_jobs || _claim.job_ids[_part];
        continue;
      end if;
      begin
        if _part = 0 then
          select * into _back from plinth_jobs.take_back(_claim.worker, _claim.tenant_ids, _claim.job_ids);
        else
          select * into _back from plinth_jobs.take_back(_claim.worker, _claim.tenant_ids[_part : _part], _claim.job_ids[_part : _part]);
        end if;
        taken := taken + _back.taken;
        failed := failed || _back.failed;
        _left_tenants := _left_tenants || _back.left_tenant_ids;
        _left_jobs := _left_jobs || _back.left_job_ids;
      exception
        when lock_not_available then
          if _part > 0 then
            _busy := _busy || _claim.tenant_ids[_part];
            _left_tenants := _left_tenants || _claim.tenant_ids[_part];
            _left_jobs := _left_jobs || _claim.job_ids[_part];
          end if;
          _whole := false;
        when others then
          get stacked diagnostics _constraint = constraint_name;
          if not plinth_jobs.is_refusal(sqlstate, _constraint) then
            raise;
          end if;
          if _part > 0 then
            perform plinth_jobs.set_aside(r.tenant_id, r.id, r.run_id, format('lease expired, and that could not be stored: %s', sqlerrm)) from plinth_jobs.jobs_run r
            where r.tenant_id = _claim.tenant_ids[_part] and r.id = _claim.job_ids[_part] and r.status = 'processing' and r.worker = _claim.worker;
            taken := taken + 1;
          end if;
          _whole := false;
      end;
    end loop;
    perform plinth_jobs.keep_claim(_claim.id, _left_tenants, _left_jobs);
  end loop;
end
$$;
comment on function plinth_jobs.take_back_apart(plinth_jobs.claims[]) is
  'Part of plinth_jobs.recover, when a job cannot be taken back: each claim, and of a claim that is refused each job, by itself. The job that is refused is set aside; one that would have to wait for a transaction of its tenant stays in its claim.';
