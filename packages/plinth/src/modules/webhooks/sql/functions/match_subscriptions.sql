create or replace function plinth.match_subscriptions(p_event_type text) returns table (subscription_id uuid, name text, url text, has_filter boolean)
language sql stable security invoker set search_path = ''
as $$
  select s.id, s.name, s.url, s.filter is not null
  from (
    select distinct k.subscription_id from plinth_webhooks.subscription_keys k
    where k.tenant_id = plinth_kernel.tenant_id() and k.key = any (plinth_webhooks.match_keys(p_event_type))
  ) m
  join plinth_webhooks.subscriptions s on s.tenant_id = plinth_kernel.tenant_id() and s.id = m.subscription_id and s.enabled
  order by s.id
$$;
comment on function plinth.match_subscriptions(text) is 'Who hears of events of this type: the enabled subscriptions with a pattern that matches. Those with has_filter look at the event as well.';
