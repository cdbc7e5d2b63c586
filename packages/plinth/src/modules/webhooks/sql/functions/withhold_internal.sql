-- A customer who sends its messages elsewhere must not get what waits of internal types. Nothing is lost: an operator who takes public_only back sends them again.
create or replace function plinth_webhooks.withhold_internal(p_tenant_id uuid, p_subscription_id uuid) returns integer
language sql volatile security invoker set search_path = ''
as $$
  -- Each type is looked up once.
  with type as materialized (
    select distinct w.event_type from plinth_webhooks.deliveries w where w.tenant_id = p_tenant_id and w.subscription_id = p_subscription_id and w.status <> 'failed'
  ), withheld as (
    update plinth_webhooks.deliveries d
    set status = 'failed', finished_at = clock_timestamp(), due_at = 'infinity', last_error = 'Not sent: the type is not public, and the subscription was changed to get public types only'
    where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.status <> 'failed' and d.event_id is not null and d.event_type in (
      select t.event_type from type t where not plinth_webhooks.is_public_type(p_tenant_id, t.event_type))
    returning d.lane_key
  ), noted as (
    -- The next claim finds what is first in an ordered lane now.
    insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select distinct p_tenant_id, p_subscription_id, w.lane_key from withheld w where w.lane_key is not null
  )
  select count(*)::integer from withheld
$$;
comment on function plinth_webhooks.withhold_internal(uuid, uuid) is 'Gives up what waits for a subscription of types that are not public; returns how many deliveries.';
