-- Jobs of one call come in order, a dependency before its dependents, so that there is no circle. A dependency that has not ended is
-- marked and locked, which waits for a transaction that ends it now: either that one sees the part, or this one sees the end.
create or replace function plinth_jobs.link_dependencies(p_tenant_id uuid, p_rows jsonb, p_dropped uuid[]) returns uuid[]
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _jobs uuid[];
  _wanted uuid[];
  _todo uuid[];
  _some uuid[];
  _more uuid[];
  _late uuid;
begin
  select array_agg(d.id), array_agg(d.wanted), min(d.wanted::text) filter (where r.n >= d.n)::uuid into _jobs, _wanted, _late
  from (select distinct (e.job ->> 'id')::uuid as id, w::uuid as wanted, e.n from jsonb_array_elements(p_rows) with ordinality as e (job, n), jsonb_array_elements_text(e.job -> 'more' -> 'depends_on') as w
    where (e.job ->> 'id')::uuid <> all (p_dropped)) d
  left join (select (e.job ->> 'id')::uuid as id, e.n from jsonb_array_elements(p_rows) with ordinality as e (job, n)) r on r.id = d.wanted;
  if _jobs is null then
    return '{}';
  end if;
  select array_agg(distinct w) into _todo from unnest(_wanted) w where w is distinct from _late;
  -- A claim or a promotion may move a job between two statements; it settles within a round or two.
  for _round in 1 .. 5 loop
    exit when _late is not null or _todo is null;
    with marked as (
      update plinth_jobs.jobs j set linked = true
      where j.status in ('scheduled', 'pending', 'processing') and j.tenant_id = p_tenant_id and j.id = any (_todo) and not j.linked returning j.id
    )
    select coalesce(array_agg(m.id), '{}') into _some from marked m;
    select coalesce(array_agg(s.id), '{}') into _more from (
      select j.id from plinth_jobs.jobs j where j.status in ('scheduled', 'pending', 'processing') and j.tenant_id = p_tenant_id and j.id = any (_todo) and j.linked for share) s;
    _some := _some || _more;
    insert into plinth_jobs.gate_parts (tenant_id, gate_id, job_id)
    select p_tenant_id, d.id, d.wanted from unnest(_jobs, _wanted) as d (id, wanted) where d.wanted = any (_some) on conflict do nothing;
    with ended as materialized (
      select distinct on (j.id) j.id, j.status, j.finished_at from plinth_jobs.jobs j
      where j.status in ('completed', 'cancelled', 'failed') and j.tenant_id = p_tenant_id and j.id = any (_todo) and j.id <> all (_some) order by j.id
    ), parts as (
      insert into plinth_jobs.gate_parts (tenant_id, gate_id, job_id, status, ended_at)
      select p_tenant_id, d.id, d.wanted, e.status, e.finished_at from unnest(_jobs, _wanted) as d (id, wanted) join ended e on e.id = d.wanted on conflict do nothing
    )
    select _some || coalesce(array_agg(e.id), '{}') into _some from ended e;
    select array_agg(t) into _todo from unnest(_todo) t where t <> all (_some);
  end loop;
  _late := coalesce(_late, _todo[1]);
  if _late is not null then
    raise exception 'There is no job % to depend on', _late using errcode = 'PL404', detail = jsonb_build_object('code', 'jobs_dependency_not_found', 'job_id', _late)::text,
      hint = 'Enqueue a dependency before its dependents, in this transaction or an earlier one of the tenant; jobs that ended are kept for 7 days.';
  end if;
  return (select array_agg(distinct j) from unnest(_jobs) j);
end
$$;
comment on function plinth_jobs.link_dependencies(uuid, jsonb, uuid[]) is 'Part of plinth_jobs.link_jobs: the parts of jobs that wait for others. Returns the jobs that wait. Error: jobs_dependency_not_found.';
