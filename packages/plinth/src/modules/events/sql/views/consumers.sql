-- Consumers belong to the installation: see plinth.maintenance_runs. The numbers cost a bounded look at each shard, whatever waits.
create or replace view plinth.consumers with (security_invoker = true) as
select s.consumer as id, coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id, s.consumer,
  case when p.paused_at is not null then 'paused' when s.failing_since is not null or a.failing_since is not null then 'failing' when s.waiting + a.waiting > 0 then 'behind' else 'current' end as status,
  s.waiting + a.waiting as waiting, s.capped or a.waiting >= 1000 as waiting_capped, least(s.oldest, a.oldest) as oldest_waiting_at,
  coalesce(greatest(0, extract(epoch from pg_catalog.statement_timestamp() - least(s.oldest, a.oldest))), 0)::float8 as lag_s,
  s.handled, greatest(s.failures, a.failures) as failures, least(s.failing_since, a.failing_since) as failing_since, coalesce(s.last_error, a.last_error) as last_error,
  nullif(least(s.retry_at, a.retry_at), 'infinity') as retry_at,
  array(select distinct f.shard from unnest(s.failing_shards || a.shards) as f (shard) order by f.shard) as failing_shards,
  s.moved_at, p.paused_at, nullif(p.paused_until, 'infinity') as paused_until, p.pause_reason, p.paused_by, p.rewound_at, p.created_at, a.parked
from (
  select f.consumer, sum(f.waiting)::bigint as waiting, bool_or(f.waiting >= 1000) as capped, min(f.oldest) as oldest, sum(f.handled)::bigint as handled, max(f.failures) as failures, min(f.failing_since) as failing_since,
    (array_agg(f.last_error order by f.failures desc) filter (where f.last_error is not null))[1] as last_error, min(f.retry_at) as retry_at,
    coalesce(array_agg(f.shard order by f.shard) filter (where f.failures > 0), '{}') as failing_shards, max(f.moved_at) as moved_at
  from plinth_kernel.feed_status('plinth_events.events') as f group by f.consumer) as s
cross join lateral plinth_events.aside_of(s.consumer) as a
left join plinth_kernel.feed_pauses('plinth_events.events') as p on p.consumer = s.consumer
where coalesce(plinth_kernel.setting('actor_type'), 'system') not in ('user', 'api_key');
comment on view plinth.consumers is
  'Consumers of the feed, for operators and the application itself: how many events wait, unread or behind one of their tenant that fails (at most 1,000 of a kind and shard are counted), since when, what fails, what is paused and why. status: paused, failing, behind, current. failing_shards: where events fail; only their tenants wait for them. Failing without failures: nobody is to blame, what its handler needs cannot be reached.';
