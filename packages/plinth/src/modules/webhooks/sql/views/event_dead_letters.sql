create or replace view plinth.event_dead_letters with (security_invoker = true) as
select d.id, d.tenant_id, d.tenant_id as org_id, d.created_at, d.finished_at as failed_at, d.subscription_id, s.name as subscription_name, s.url, d.event_id, d.event_type, d.attempts,
  d.last_response_code, d.last_error, plinth_webhooks.sent_body(d.format, d.body) as body, d.correlation_id, d.causation_id
from plinth_webhooks.deliveries as d
join plinth_webhooks.subscriptions as s on s.tenant_id = d.tenant_id and s.id = d.subscription_id
where d.status = 'failed';
comment on view plinth.event_dead_letters is
  'Deliveries that were given up: to which endpoint, of which event, after how many attempts, with the last answer and error. id is the webhook-id: plinth.resend_delivery(id) sends one again, plinth.start_replay with p_only_failed all of a subscription, and plinth.event_delivery_log has its attempts. They stay for 30 days. org_id is tenant_id.';
