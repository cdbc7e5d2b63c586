-- What there is most of, in the cheapest form: arrays instead of JSON, and an answer that is empty when all is well. `= any (array[...])` says what
-- `=` would, but a join cannot be sorted by it, so that reading the index from end to end is no plan: one that was made while the day's
-- partition was small did that for every id and stayed with its connection (0.3 to 1.3 ms a job).
create or replace function plinth_jobs.complete(p_tenants uuid[], p_ids uuid[], p_run_ids uuid[], p_claims uuid[] default null) returns setof uuid
language plpgsql volatile security definer set search_path = ''
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _now timestamptz := clock_timestamp();
  _done uuid[];
  _linked jsonb;
begin
  with done as (
    update plinth_jobs.jobs_run j set error = null, status = 'completed', progress = 100, finished_at = _now
    from unnest(p_tenants, p_ids, p_run_ids) as g (tenant_id, id, run_id)
    where j.tenant_id = any (array[g.tenant_id]) and j.id = g.id and j.run_id = g.run_id and j.status = 'processing' and (_tenant is null or j.tenant_id = _tenant)
    returning j.tenant_id, j.id, j.run_id, j.kind, j.unique_key, j.linked
  )
  select array_agg(d.run_id), jsonb_agg(jsonb_build_object('tenant_id', d.tenant_id, 'id', d.id, 'run_id', d.run_id, 'kind', d.kind, 'unique_key', d.unique_key, 'status', 'completed')) filter (where d.linked)
  into _done, _linked from done d;
  if _linked is not null then
    perform plinth_jobs.settle_linked(_linked);
  end if;
  if p_claims is not null then
    perform plinth_jobs.close_claims(p_claims);
  end if;
  if coalesce(cardinality(_done), 0) < cardinality(p_run_ids) then
    perform plinth_jobs.settle_ended((
      select jsonb_agg(to_jsonb(g)) from unnest(p_tenants, p_ids, p_run_ids) as g (tenant_id, id, run_id) where g.run_id <> all (coalesce(_done, '{}'))));
    return query select g.run_id from unnest(p_run_ids) as g (run_id) where g.run_id <> all (coalesce(_done, '{}'));
  end if;
end
$$;
comment on function plinth_jobs.complete(uuid[], uuid[], uuid[], uuid[]) is
  'Completes attempts that have no result. Returns the run_ids that were refused, because another attempt has taken over. p_claims: claims of which every job is settled with this call or before.';
