-- Asked by claims, under the lock of all of them: so many notes at a time, of lanes in no order, so that those of one tenant do not keep others waiting. The rest
-- is for the next claim.
create or replace function plinth_webhooks.release_held_back(p_limit integer default 500) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _lane record;
  _keys text[];
  _left integer := p_limit;
  _released integer := 0;
begin
  -- Of an order that was just changed, what is under way since before counts also where somebody holds the lane: then its notes are for the next claim.
  perform plinth_webhooks.put_ahead(n.tenant_id, n.subscription_id) from (
    select h.tenant_id, h.subscription_id from plinth_webhooks.held_back h where h.lane_key is null and h.until is null limit 100) n;
  for _lane in
    with recursive noted as (
      (select h.tenant_id, h.subscription_id from plinth_webhooks.held_back h order by h.tenant_id, h.subscription_id limit 1)
      union all
      select n.tenant_id, n.subscription_id from noted w cross join lateral (
        select h.tenant_id, h.subscription_id from plinth_webhooks.held_back h where (h.tenant_id, h.subscription_id) > (w.tenant_id, w.subscription_id)
        order by h.tenant_id, h.subscription_id limit 1) n
    ), shuffled as materialized (
      select w.tenant_id, w.subscription_id from noted w order by random()
    )
    select n.tenant_id, n.subscription_id, exists (
      select from plinth_webhooks.held_back h where h.tenant_id = w.tenant_id and h.subscription_id = w.subscription_id and h.lane_key is null) as late
    from shuffled w cross join lateral (
      select n.tenant_id, n.subscription_id from plinth_webhooks.lanes n where n.tenant_id = w.tenant_id and n.subscription_id = w.subscription_id limit 1 for no key update skip locked) n
    limit 100
  loop
    if _lane.late then
      perform plinth_webhooks.order_late(_lane.tenant_id, _lane.subscription_id);
    end if;
    -- First the notes, then the look: what is noted after this statement is for the next claim.
    with gone as (
      delete from plinth_webhooks.held_back h where h.ctid = any (array(
        select x.ctid from plinth_webhooks.held_back x where x.tenant_id = _lane.tenant_id and x.subscription_id = _lane.subscription_id and x.lane_key is not null order by x.id limit _left))
      returning h.lane_key
    )
    select array_agg(distinct g.lane_key), _left - count(*) into _keys, _left from gone g;
    perform plinth_webhooks.promote(_lane.tenant_id, _lane.subscription_id, k) from unnest(_keys) k;
    _released := _released + 1;
    exit when _left <= 0;
  end loop;
  return _released;
end
$$;
comment on function plinth_webhooks.release_held_back(integer) is 'Looks at p_limit keys of ordered lanes that were held by somebody when a delivery was added, and makes their first deliveries due; returns how many lanes.';
