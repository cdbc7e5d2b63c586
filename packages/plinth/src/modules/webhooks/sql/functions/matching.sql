-- The one way from an event type to its subscriptions. A function of its own, in plpgsql, so that its plan is kept and no caller's joins lead
-- the planner to read all keys of a tenant: among 20,000 subscriptions the join with a batch of events did.
create or replace function plinth_webhooks.matching(p_tenant_id uuid, p_type text) returns setof plinth_webhooks.subscriptions
language plpgsql stable security invoker rows 20 set search_path = '' set enable_seqscan = off set jit = off
as $$
declare
  _keys constant text[] := plinth_webhooks.match_keys(p_type);
begin
  return query
  select s.* from (select distinct k.subscription_id from plinth_webhooks.subscription_keys k where k.tenant_id = p_tenant_id and k.key = any (_keys)) m
  cross join lateral (select s.* from plinth_webhooks.subscriptions s where s.tenant_id = p_tenant_id and s.id = m.subscription_id and s.enabled
    and (not s.public_only or plinth_webhooks.is_public_type(p_tenant_id, p_type)) limit 1) s;
end
$$;
comment on function plinth_webhooks.matching(uuid, text) is 'The enabled subscriptions of a tenant with a pattern that matches an event type, without those for public types only when it is internal. Costs the matches, not the subscriptions.';
