create or replace view plinth.event_subscriptions with (security_invoker = true) as
select s.id, s.tenant_id, s.tenant_id as org_id, s.name, s.url, s.patterns, s.enabled, s.description, coalesce(n.failure_count, 0) as failure_count, n.failing_since,
  s.disable_after_failures, s.disable_after, s.disabled_at, s.disabled_reason, s.created_by, s.created_at, s.updated_at,
  s.ordering, s.order_key, s.poison, s.retry_schedule, s.retry_seconds, s.max_in_flight, s.rate_per_second, coalesce(n.breaker, 'closed') as breaker,
  case when n.next_at > now() then n.next_at end as paused_until, coalesce(n.window_size, s.max_in_flight) as in_flight_now,
  s.filter, s.transform, s.transform_version, s.signing,
  s.mode, s.format, s.reveal, s.public_only, p.tail as pull_tail, p.read_to as pull_read_to, p.tail - coalesce(p.read_to, 0) as pull_unread, p.read_at as pull_read_at,
  array(select k.public_key from plinth_webhooks.public_keys k where k.tenant_id = s.tenant_id and k.subscription_id = s.id and k.public_key is not null order by k.id desc) as public_keys,
  least(s.rate_per_second, plinth_webhooks.lane_rate(n.rate, n.rate_ceiling, n.limited_at, now())) as rate_now
from plinth_webhooks.subscriptions as s
left join plinth_webhooks.lanes as n on n.tenant_id = s.tenant_id and n.subscription_id = s.id
left join plinth_webhooks.pull_lanes as p on p.tenant_id = s.tenant_id and p.subscription_id = s.id and s.mode = 'pull';
comment on view plinth.event_subscriptions is
  'Subscriptions of the tenant of the transaction to its events, without their secrets, and the state of the way to each: breaker (closed, open, half_open), paused_until, in_flight_now (attempts at a time that the receiver is trusted with), rate_now (attempts a second, where it or rate_per_second limits them). org_id is tenant_id. public_keys are those of signatures v1a, newest first. public_only: gets events of public types only. Of one that is pulled: pull_tail is the position of its last message, pull_read_to the highest that a reader went on from (noted within ten seconds), pull_unread what is between.';
