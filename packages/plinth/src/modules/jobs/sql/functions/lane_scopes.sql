-- A scope is what is counted together: `queue/<queue>`, `tenant/<i or t>/<tenant>/<queue or nothing>`, `key/<i or t>/<tenant>/<length of
-- queue>/<queue or nothing>/<key>`; i and t tell who set the limit. Its name does not depend on the row of the limit, so that setting it anew loses no count.
-- plpgsql, because it keeps the plan: planning took longer than running.
create or replace function plinth_jobs.lane_scopes(p_queues text[], p_tenants uuid[], p_keys text[])
returns table (lane integer, scope text, scope_tenant uuid, limit_id uuid, per text, queue text, max_running integer, every double precision, burst integer)
language plpgsql stable security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
begin
  return query
  with general as materialized (
    select r.* from plinth_jobs.limits r where r.tenant_id = '00000000-0000-0000-0000-000000000000'
  )
  select distinct on (l.lane, r.per, r.source, r.queue) l.lane::integer,
    (case r.per
      when 'queue' then 'queue/' || r.queue
      when 'tenant' then 'tenant/' || left(r.source, 1) || '/' || l.tenant_id || '/' || r.queue
      else 'key/' || left(r.source, 1) || '/' || l.tenant_id || '/' || length(r.queue) || '/' || r.queue || '/' || l.key
    end) collate "C",
    case when r.per = 'queue' then r.tenant_id else l.tenant_id end, r.id, r.per, r.queue, r.max_running, extract(epoch from r.rate_period)::double precision / r.rate, r.burst
  from unnest(p_queues, p_tenants, p_keys) with ordinality as l (queue, tenant_id, key, lane)
  cross join lateral (
    select g.* from general g where g.queue in ('', l.queue)
    union all
    select r.* from plinth_jobs.limits r where r.tenant_id = l.tenant_id and r.tenant_id <> '00000000-0000-0000-0000-000000000000' and r.queue in ('', l.queue)
  ) r
  where r.per <> 'key' or (l.key <> '' and r.concurrency_key in ('', l.key))
  -- The nil tenant and the empty key sort first: the more exact limit wins.
  order by l.lane, r.per, r.source, r.queue, r.tenant_id desc, r.concurrency_key desc;
end
$$;
comment on function plinth_jobs.lane_scopes(text[], uuid[], text[]) is
  'Which limits hold for lanes, given by queue, tenant and concurrency key; lane counts from 1. every: seconds between two starts.';
