create or replace view plinth.event_deliveries with (security_invoker = true) as
select d.id, d.tenant_id, d.tenant_id as org_id, d.created_at, d.subscription_id, s.name as subscription_name, d.event_id, d.event_type,
  case when d.status = 'pending' and exists (
    select from plinth_webhooks.flights as f where f.tenant_id = d.tenant_id and f.subscription_id = d.subscription_id and f.delivery_id = d.id and f.lease_until > now()
  ) then 'processing' else d.status end as status, d.attempts,
  case when s.enabled and d.due_at < 'infinity' then d.due_at end as due_at, d.last_response_code, d.last_error, d.finished_at, plinth_webhooks.sent_body(d.format, d.body) as body, d.correlation_id, d.causation_id,
  d.lane_key as order_key, d.replay_id
from plinth_webhooks.deliveries as d
join plinth_webhooks.subscriptions as s on s.tenant_id = d.tenant_id and s.id = d.subscription_id;
comment on view plinth.event_deliveries is
  'What is still to be delivered: pending, processing, failed when it was given up, blocked when what is behind it waits for a decision. id is the webhook-id. due_at is the next attempt, null while the subscription is disabled or something before it in its order is not delivered. Delivered ones are found in plinth.event_delivery_log.';
