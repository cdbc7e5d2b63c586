-- Projections belong to the installation: see plinth.consumers.
create or replace view plinth.projections with (security_invoker = true) as
select p.name as id, coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id, p.name, p.kind,
  case when p.phase is not null then p.phase when p.revision is distinct from p.declared or p.opened and p.erasures > 0 then 'stale' else 'live' end as status,
  p.revision, p.declared as declared_revision, p.rebuild_revision, s.handled as rebuild_handled, l.handled as live_handled, s.waiting as rebuild_waiting,
  p.cancel_reason, p.error, p.comparison, p.rebuild_started_at, p.rebuilt_at, p.created_at, p.updated_at,
  case when p.opened then p.erasures else 0 end as erasures
from plinth_kernel.projection_states() as p
left join lateral (select sum(f.handled)::bigint as handled, sum(f.waiting)::bigint as waiting from plinth_kernel.feed_status('plinth_events.events', p.name || '~rebuild') as f) as s on p.phase is not null
left join lateral (select sum(f.handled)::bigint as handled from plinth_kernel.feed_status('plinth_events.events', p.name) as f) as l on p.kind = 'async'
where coalesce(plinth_kernel.setting('actor_type'), 'system') not in ('user', 'api_key');
comment on view plinth.projections is
  'Projections of the events, for operators and the application itself. status: live; stale (the processes have another revision, declared_revision, than the code that made the tables, or code of several did and revision is null, or data subjects were erased whose personal fields they may hold, erasures: rebuild it); replaying, swapping (it is being rebuilt). comparison: what the last rebuild found when it compared new and old tables.';
