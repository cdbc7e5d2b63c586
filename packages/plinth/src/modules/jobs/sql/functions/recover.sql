-- Of any number of callers one takes a worker's claims: the rows are locked. Jobs that have ended meanwhile are no longer processing.
-- One job that cannot be taken back must not keep the others, which may be of other tenants: what is refused together is tried claim by
-- claim and then job by job, and who is to blame is set aside. A transaction that a tenant leaves open keeps its own jobs from being taken back, and no
-- others: what is locked stays in its claim. Claims come by chance, so that a hundred of such do not hide the rest.
create or replace function plinth_jobs.recover(p_limit integer default 100, out taken bigint, out failed jsonb)
language plpgsql volatile security definer set search_path = '' set lock_timeout = '50ms'
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _claims plinth_jobs.claims[];
  _claim plinth_jobs.claims;
  _back record;
  _constraint text;
begin
  perform plinth_kernel.require_worker();
  taken := 0;
  failed := '[]';
  -- A job can be in two claims of one worker, which two callers would lock in different orders; the second has nothing to do anyhow.
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('plinth jobs recover', 0)) then
    return;
  end if;
  select array_agg(d) into _claims from (
    select c.* from plinth_jobs.claims c where c.worker in (select plinth_jobs.dead_workers())
      or not exists (select from plinth_jobs.workers w where w.id = c.worker) order by random() limit p_limit for update skip locked) d;
  begin
    foreach _claim in array coalesce(_claims, '{}') loop
      select * into _back from plinth_jobs.take_back(_claim.worker, _claim.tenant_ids, _claim.job_ids);
      taken := taken + _back.taken;
      failed := failed || _back.failed;
      perform plinth_jobs.keep_claim(_claim.id, _back.left_tenant_ids, _back.left_job_ids);
    end loop;
  exception
    when others then
      get stacked diagnostics _constraint = constraint_name;
      if sqlstate <> '55P03' and not plinth_jobs.is_refusal(sqlstate, _constraint) then
        raise;
      end if;
      select * into taken, failed from plinth_jobs.take_back_apart(_claims);
  end;
  delete from plinth_jobs.workers w where w.id in (select plinth_jobs.dead_workers()) and not exists (select from plinth_jobs.claims c where c.worker = w.id);
end
$$;
comment on function plinth_jobs.recover(integer) is
  'Takes back the jobs of workers that died, at most p_limit claims: counted as an attempt with the error "lease expired", pending again or failed. taken: how many; failed: those that were given up, and those that failed with them, [{tenant_id, id, kind, correlation_id, error}].';
