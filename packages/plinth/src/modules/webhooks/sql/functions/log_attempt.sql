-- Apart from settle, which knows a delivery by its row: this is for one that is gone.
create or replace function plinth_webhooks.log_attempt(p_row jsonb) returns void
language sql volatile security invoker set search_path = ''
as $$
  insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, attempted_at, url, response_code, response_time_ms,
    error_code, error_message, request_headers, request_body, response_headers, response_body, timings, correlation_id, causation_id)
  select g.tenant_id, g.id, g.subscription_id, g.event_id, g.event_type, g.attempt, case when g.outcome = 'delivered' then 'delivered' else 'failed' end,
    clock_timestamp() - coalesce(g.age_ms, 0) * interval '1 millisecond', g.url, g.response_code, g.response_time_ms, g.error_code, g.error_message, g.request_headers,
    left(plinth_webhooks.sent_body(g.format, g.body), 16384), g.response_headers, g.response_body, g.timings, g.correlation_id, g.event_id
  from jsonb_to_record(p_row) as g (tenant_id uuid, id uuid, subscription_id uuid, event_id uuid, event_type text, attempt integer, outcome text, age_ms double precision, url text,
    response_code integer, response_time_ms integer, error_code text, error_message text, request_headers jsonb, response_headers jsonb, response_body text, timings jsonb,
    format text, body text, correlation_id uuid)
  where g.outcome <> 'returned'
$$;
comment on function plinth_webhooks.log_attempt(jsonb) is 'Writes down an attempt of which only the dispatcher knows: the delivery as claim gave it out, and how the attempt ended as settle takes it.';
