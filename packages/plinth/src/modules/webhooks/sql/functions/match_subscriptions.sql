create or replace function plinth.match_subscriptions(p_event_type text) returns table (subscription_id uuid, name text, url text, has_filter boolean)
language sql stable security invoker set search_path = ''
as $$
  select s.id, s.name, s.url, s.filter is not null from plinth_webhooks.matching(plinth_kernel.tenant_id(), p_event_type) s order by s.id
$$;
comment on function plinth.match_subscriptions(text) is 'Who hears of events of this type: the enabled subscriptions with a pattern that matches. Those with has_filter look at the event as well.';
