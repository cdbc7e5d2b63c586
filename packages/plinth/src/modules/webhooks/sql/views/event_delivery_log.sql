create or replace view plinth.event_delivery_log with (security_invoker = true) as
select a.id, a.tenant_id, a.tenant_id as org_id, a.attempted_at, a.status, a.subscription_id, a.event_type, a.event_id, a.delivery_id, a.delivery_id as webhook_id, a.attempt as attempt_number,
  a.response_code, a.response_time_ms, a.error_code, a.error_message, a.url, a.request_headers, a.request_body, a.response_headers, a.response_body, a.timings,
  a.correlation_id, a.causation_id, a.xact, a.created_at
from plinth_webhooks.attempts as a;
comment on view plinth.event_delivery_log is 'Every attempt to deliver an event, with request, answer and timing. status is delivered or failed. webhook_id is the same on all attempts of one delivery. org_id is tenant_id.';
