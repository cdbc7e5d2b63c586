create or replace function plinth_webhooks.revive(p_tenant_id uuid, p_subscription_id uuid, p_replay_id uuid, p_ids uuid[]) returns integer
language sql volatile security invoker set search_path = ''
as $$
  -- In the order of the events: deliveries of one millisecond have ids in none.
  with placed as materialized (
    select f.id, nextval('plinth_webhooks.deliveries_seq_seq') as seq from (
      select d.id from plinth_webhooks.deliveries d where d.tenant_id = p_tenant_id and d.id = any (p_ids) and d.status = 'failed' order by d.event_id for no key update) f
  ), revived as (
    update plinth_webhooks.deliveries d
    set status = 'pending', attempts = 0, step = 0, give_up_at = null, finished_at = null, seq = p.seq, replay_id = p_replay_id, due_at = case when d.lane_key is null then clock_timestamp() else 'infinity' end
    from placed p where d.tenant_id = p_tenant_id and d.id = p.id
    returning d.lane_key
  ), noted as (
    -- The next claim finds the first of an ordered lane: nobody is waited for here.
    insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select distinct p_tenant_id, p_subscription_id, r.lane_key from revived r where r.lane_key is not null
  )
  select count(*)::integer from revived
$$;
comment on function plinth_webhooks.revive(uuid, uuid, uuid, uuid[]) is 'Lets deliveries that were given up begin again, for a replay; returns how many were.';
