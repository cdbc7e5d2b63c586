-- Attempts whose end was refused because their job is over: a program of others has ended it by UPDATE of plinth.background_jobs, and cannot know
-- what it held. Of one that was settled properly and is told twice, nothing is left to release. A dead letter is locked, so that it cannot live again
-- between the look and the release.
create or replace function plinth_jobs.settle_ended(p_rows jsonb) returns void
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _ended jsonb;
begin
  with given as materialized (
    select g.* from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, run_id uuid) where _tenant is null or g.tenant_id = _tenant
  ), run as materialized (
    select r.tenant_id, r.id, r.run_id, r.kind, r.unique_key, r.status from given g
    join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.run_id = g.run_id and r.status in ('completed', 'cancelled') and r.linked
  ), failed as materialized (
    select f.tenant_id, f.id, f.run_id, f.kind, f.unique_key, f.status from given g
    join plinth_jobs.jobs_failed f on f.tenant_id = g.tenant_id and f.id = g.id and f.run_id = g.run_id and f.linked
    order by f.tenant_id, f.id for update of f
  )
  select jsonb_agg(to_jsonb(e)) into _ended from (select * from run union all select * from failed) e;
  if _ended is not null then
    perform plinth_jobs.settle_linked(_ended);
  end if;
end
$$;
comment on function plinth_jobs.settle_ended(jsonb) is
  'Releases what jobs held that are over, though no attempt of theirs was settled, [{tenant_id, id, run_id}]. Part of settling attempts that were refused, and of taking back claims.';
