create or replace view plinth.webhook_replays with (security_invoker = true) as
select r.id, r.tenant_id, r.tenant_id as org_id, r.created_at, r.subscription_id, s.name as subscription_name, r.status, r.only_failed, r.since, r.until, r.patterns,
  cardinality(r.event_ids) as asked_ids, r.rate_per_second, r.total, r.added, r.finished_at, r.created_by, r.reason, r.correlation_id, r.left_out, r.last_error, r.filter
from plinth_webhooks.replays as r
join plinth_webhooks.subscriptions as s on s.tenant_id = r.tenant_id and s.id = r.subscription_id;
comment on view plinth.webhook_replays is
  'Replays: running, done when everything was looked at, cancelled, or failed (last_error). total is what there was to add at most when it began (100,000 stands for that many or more), added is how much was; left_out is how much of the types was not, because a filter, of the subscription or of the replay, does not let it through or it was waiting anyway. org_id is tenant_id.';
