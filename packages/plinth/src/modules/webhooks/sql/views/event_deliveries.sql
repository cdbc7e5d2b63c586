create or replace view plinth.event_deliveries with (security_invoker = true) as
select d.id, d.tenant_id, d.tenant_id as org_id, d.created_at, d.subscription_id, s.name as subscription_name, d.event_id, d.event_type, d.status, d.attempts,
  case when d.due_at < 'infinity' then d.due_at end as due_at, d.last_response_code, d.last_error, d.finished_at, d.body, d.correlation_id, d.causation_id
from plinth_webhooks.deliveries as d
join plinth_webhooks.subscriptions as s on s.tenant_id = d.tenant_id and s.id = d.subscription_id;
comment on view plinth.event_deliveries is
  'What is still to be delivered: pending, processing, or failed when it was given up. id is the webhook-id. due_at is the next attempt, null while the subscription is disabled. Delivered ones are found in plinth.event_delivery_log.';
