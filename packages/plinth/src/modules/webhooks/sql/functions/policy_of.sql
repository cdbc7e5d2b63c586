create or replace function plinth_webhooks.policy_of(p_subscription plinth_webhooks.subscriptions) returns jsonb
language sql stable parallel safe set search_path = ''
as $$
  select jsonb_build_object('ordering', p_subscription.ordering, 'order_key', p_subscription.order_key, 'poison', p_subscription.poison, 'retry_schedule', p_subscription.retry_schedule,
    'retry_seconds', p_subscription.retry_seconds, 'max_in_flight', p_subscription.max_in_flight, 'rate_per_second', p_subscription.rate_per_second,
    'disable_after_failures', p_subscription.disable_after_failures, 'disable_after', p_subscription.disable_after::text)
$$;
comment on function plinth_webhooks.policy_of(plinth_webhooks.subscriptions) is 'How a subscription is served, for the audit log.';
