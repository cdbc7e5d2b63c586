create or replace function plinth.set_delivery_policy(p_subscription_id uuid, p_ordering text default null, p_order_key text default null, p_poison text default null, p_retry_schedule text default null,
  p_retry_seconds integer[] default null, p_max_in_flight integer default null, p_rate_per_second double precision default null, p_disable_after_failures integer default null, p_disable_after interval default null)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _new plinth_webhooks.subscriptions := _old;
begin
  _new.ordering := coalesce(p_ordering, _old.ordering);
  _new.order_key := case when p_order_key is null then _old.order_key else nullif(p_order_key, '') end;
  _new.poison := coalesce(p_poison, _old.poison);
  _new.retry_schedule := coalesce(p_retry_schedule, _old.retry_schedule);
  _new.retry_seconds := case when _new.retry_schedule = 'custom' then coalesce(p_retry_seconds, _old.retry_seconds) end;
  _new.max_in_flight := coalesce(p_max_in_flight, _old.max_in_flight);
  _new.rate_per_second := case when p_rate_per_second is null then _old.rate_per_second else nullif(p_rate_per_second, 0) end;
  _new.disable_after_failures := coalesce(p_disable_after_failures, _old.disable_after_failures);
  _new.disable_after := coalesce(p_disable_after, _old.disable_after);
  perform plinth_webhooks.check_policy(_new);
  update plinth_webhooks.subscriptions s
  set ordering = _new.ordering, order_key = _new.order_key, poison = _new.poison, retry_schedule = _new.retry_schedule, retry_seconds = _new.retry_seconds, max_in_flight = _new.max_in_flight,
    rate_per_second = _new.rate_per_second, disable_after_failures = _new.disable_after_failures, disable_after = _new.disable_after, updated_at = clock_timestamp()
  where s.tenant_id = _old.tenant_id and s.id = _old.id;
  if (_new.ordering, _new.order_key) is distinct from (_old.ordering, _old.order_key) then
    perform plinth_webhooks.reorder(_old.tenant_id, _old.id);
  end if;
  perform plinth.log_audit_event(p_action := 'webhooks.policy_changed', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_before := plinth_webhooks.policy_of(_old), p_after := plinth_webhooks.policy_of(_new));
end
$$;
comment on function plinth.set_delivery_policy(uuid, text, text, text, text, integer[], integer, double precision, integer, interval) is
  'Changes how a subscription is served; what is null stays. p_ordering: parallel, fifo, fifo_by_key (p_order_key: path into the payload such as $.customer.id, empty: the stream of the event). p_poison: what an ordered lane does with a delivery whose schedule is over, skip or block. p_retry_schedule: standard, short, long, none, custom (p_retry_seconds: waits, at most 50 of 1 second to 7 days). p_max_in_flight: 1 to 1,000 at a time. p_rate_per_second: 0.001 to 100,000, 0 for no limit. p_disable_after: up to 365 days, and p_disable_after_failures: 1 to 1,000,000. What waits is put in the new order. Errors: webhooks_subscription_not_found, webhooks_policy_invalid.';
