-- How an attempt ended, and what follows from it:
--   completed                        -> completed, in place
--   cancelled, or failed or lost after a cancel was asked for -> cancelled, in place
--   failed or lost, attempts used up or final -> failed, the dead letter
--   failed                           -> scheduled after delay_ms, default plinth_jobs.backoff
--   lost                             -> pending at once: the lease was the wait; when it was lost the time before, too, after up to twice its backoff
--   snoozed                          -> scheduled after delay_ms; the attempt is not counted
--   returned                         -> pending at once, as if it had not been claimed
-- Completions are what there are most of: they take one statement, the rest goes to plinth_jobs.settle_others.
create or replace function plinth_jobs.settle(p_rows jsonb, p_claims uuid[] default null) returns table (run_id uuid, status text, job jsonb)
language plpgsql volatile security definer set search_path = ''
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _linked jsonb;
  _done uuid[];
  _given integer;
begin
  if jsonb_typeof(p_rows) <> 'array' then
    perform plinth_jobs.check_settlements(p_rows);
  end if;
  with given as materialized (
    select g.tenant_id, g.id, g.run_id, g.result from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, run_id uuid, outcome text, result jsonb)
    where g.outcome = 'completed' and (_tenant is null or g.tenant_id = _tenant)
  ), done as (
    update plinth_jobs.jobs_run j set error = null, status = 'completed', progress = 100, finished_at = clock_timestamp(), result = g.result
    from given g
    -- As in plinth_jobs.complete.
    where j.tenant_id = any (array[g.tenant_id]) and j.id = g.id and j.run_id = g.run_id and j.status = 'processing'
    returning j.tenant_id, j.id, j.run_id, j.kind, j.unique_key, j.linked
  )
  select array_agg(d.run_id), jsonb_agg(jsonb_build_object('tenant_id', d.tenant_id, 'id', d.id, 'run_id', d.run_id, 'kind', d.kind, 'unique_key', d.unique_key, 'status', 'completed')) filter (where d.linked),
    (select count(*) from given)
  into _done, _linked, _given from done d;
  -- Those that were all accepted need no look at how they were written.
  if coalesce(cardinality(_done), 0) < jsonb_array_length(p_rows) then
    perform plinth_jobs.check_settlements(p_rows);
  end if;
  if coalesce(cardinality(_done), 0) < _given then
    perform plinth_jobs.settle_ended((
      select jsonb_agg(e.job) from jsonb_array_elements(p_rows) as e (job) where e.job ->> 'outcome' = 'completed' and (e.job ->> 'run_id')::uuid <> all (coalesce(_done, '{}'))));
  end if;
  return query select d, 'completed', null::jsonb from unnest(_done) as d;
  if _linked is not null then
    return query select null::uuid, 'failed', f from jsonb_array_elements(plinth_jobs.settle_linked(_linked)) as f;
  end if;
  if p_rows @? '$[*] ? (@.outcome != "completed")' then
    return query select * from plinth_jobs.settle_others(p_rows);
  end if;
  if p_claims is not null then
    perform plinth_jobs.close_claims(p_claims);
  end if;
end
$$;
comment on function plinth_jobs.settle(jsonb, uuid[]) is
  'Ends attempts, [{tenant_id, id, run_id, outcome: completed | failed | cancelled | lost | snoozed | returned, result, error, delay_ms, final}]. Returns the run_ids that were accepted, the others had lost their lease, and the status of their jobs; besides, without a run_id, each job that failed because it depends on one of these, {tenant_id, id, kind, correlation_id, error}. p_claims: claims of which every job is settled with this call or before. Error: jobs_settlement_invalid.';
