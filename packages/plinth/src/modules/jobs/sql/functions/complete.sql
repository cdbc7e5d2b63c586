-- What there is most of, in the cheapest form: arrays instead of JSON, and an answer that is empty when all is well. Rows are looked up apart
-- and updated where they are: joined by their key, they were all read for every id by a plan from when the day was young. A row that has
-- changed its place meanwhile (its progress, a cancel) is waited for and looked up again.
create or replace function plinth_jobs.complete(p_tenants uuid[], p_ids uuid[], p_run_ids uuid[], p_claims uuid[] default null) returns setof uuid
language plpgsql volatile security definer set search_path = ''
set plan_cache_mode = force_generic_plan set random_page_cost = 0 set enable_memoize = off
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _now timestamptz := clock_timestamp();
  _done uuid[] := '{}';
  _more uuid[];
  _linked jsonb;
begin
  for _pass in 1 .. 2 loop
    with done as (
      update plinth_jobs.jobs_run j set error = null, status = 'completed', progress = 100, finished_at = _now
      from unnest(p_tenants, p_ids, p_run_ids) as g (tenant_id, id, run_id) cross join lateral (
        select r.ctid as place, r.run_id from plinth_jobs.jobs_run r where r.tenant_id = g.tenant_id and r.id = g.id and r.run_id = g.run_id and r.status = 'processing' limit 1) r
      where j.ctid = r.place and j.run_id = r.run_id and j.status = 'processing' and (_tenant is null or j.tenant_id = _tenant)
      returning j.tenant_id, j.id, j.run_id, j.kind, j.unique_key, j.linked
    )
    select array_agg(d.run_id), jsonb_agg(jsonb_build_object('tenant_id', d.tenant_id, 'id', d.id, 'run_id', d.run_id, 'kind', d.kind, 'unique_key', d.unique_key, 'status', 'completed')) filter (where d.linked)
    into _more, _linked from done d;
    _done := _done || _more;
    if _linked is not null then
      perform plinth_jobs.settle_linked(_linked);
    end if;
    exit when _pass = 2 or cardinality(_done) = cardinality(p_run_ids);
    perform from unnest(p_tenants, p_ids, p_run_ids) as g (tenant_id, id, run_id) cross join lateral (
      select from plinth_jobs.jobs_run r where r.tenant_id = g.tenant_id and r.id = g.id and r.run_id = g.run_id and r.status = 'processing' and (_tenant is null or r.tenant_id = _tenant) limit 1 for update) r;
    exit when not found;
  end loop;
  if p_claims is not null then
    perform plinth_jobs.close_claims(p_claims);
  end if;
  if cardinality(_done) < cardinality(p_run_ids) then
    return query select g.run_id from unnest(p_run_ids) as g (run_id) where g.run_id <> all (_done);
  end if;
end
$$;
comment on function plinth_jobs.complete(uuid[], uuid[], uuid[], uuid[]) is
  'Completes attempts that have no result. Returns the run_ids that were refused, because another attempt has taken over. p_claims: claims of which every job is settled with this call or before.';
