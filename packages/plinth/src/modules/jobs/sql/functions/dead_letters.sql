-- Dead letters of a tenant that meet a filter, in the order of their ids: a page at a time, by the primary key. Left to itself the planner takes what a filter
-- leaves for a row or two, and reads and sorts everything that failed for each page. A coalesce that is not in a query of its own is no condition of an index
-- below row security on PostgreSQL 15.
create or replace function plinth_jobs.dead_letters(p_tenant_id uuid, p_filter jsonb, p_after uuid, p_limit integer)
returns table (id uuid, kind text, queue text, error text, attempts smallint, finished_at timestamptz, plain boolean)
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  select d.* from jsonb_to_record(p_filter) as f (kind text, queue text, error text, failed_after timestamptz, failed_before timestamptz)
  cross join lateral (
    select j.id, j.kind::text, j.queue::text, j.error, j.attempts::smallint, j.finished_at, j.unique_key is null and not j.linked
    from plinth_jobs.jobs j
    where j.status = 'failed' and j.tenant_id = p_tenant_id and j.id > (select coalesce(p_after, '00000000-0000-0000-0000-000000000000'))
      and (f.kind is null or j.kind = f.kind) and (f.queue is null or j.queue = f.queue) and (f.error is null or strpos(lower(j.error), lower(f.error)) > 0)
      and (f.failed_after is null or j.finished_at >= f.failed_after) and (f.failed_before is null or j.finished_at < f.failed_before)
    order by j.tenant_id, j.id limit p_limit) d
$$;
comment on function plinth_jobs.dead_letters(uuid, jsonb, uuid, integer) is 'Dead letters of a tenant, {kind, queue, error (text in it), failed_after, failed_before}, in the order of their ids, those after p_after, at most p_limit. plain: nothing besides its row has to be done.';
