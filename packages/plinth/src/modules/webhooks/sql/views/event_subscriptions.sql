create or replace view plinth.event_subscriptions with (security_invoker = true) as
select s.id, s.tenant_id, s.tenant_id as org_id, s.name, s.url, s.patterns, s.enabled, s.description, s.failure_count, s.failing_since, s.disable_after_failures, s.disable_after,
  s.disabled_at, s.disabled_reason, s.created_by, s.created_at, s.updated_at,
  s.filter, s.transform, s.transform_version, s.signing,
  array(select k.public_key from plinth_webhooks.public_keys k where k.tenant_id = s.tenant_id and k.subscription_id = s.id and k.public_key is not null order by k.id desc) as public_keys
from plinth_webhooks.subscriptions as s;
comment on view plinth.event_subscriptions is 'Subscriptions of the tenant of the transaction to its events, without their secrets. org_id is tenant_id. public_keys are those of signatures v1a, newest first.';
