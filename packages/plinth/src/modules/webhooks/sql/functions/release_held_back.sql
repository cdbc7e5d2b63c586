create or replace function plinth_webhooks.release_held_back() returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _lane record;
  _released integer := 0;
begin
  for _lane in
    select n.tenant_id, n.subscription_id from plinth_webhooks.lanes n
    where exists (select from plinth_webhooks.held_back h where h.tenant_id = n.tenant_id and h.subscription_id = n.subscription_id)
    order by n.tenant_id, n.subscription_id limit 100 for no key update of n skip locked
  loop
    -- First the notes, then the look: what is noted after this statement is for the next claim.
    delete from plinth_webhooks.held_back h where h.tenant_id = _lane.tenant_id and h.subscription_id = _lane.subscription_id;
    perform plinth_webhooks.promote_all(_lane.tenant_id, _lane.subscription_id);
    _released := _released + 1;
  end loop;
  return _released;
end
$$;
comment on function plinth_webhooks.release_held_back() is 'Looks through the ordered lanes that were held by somebody when a delivery was added, and makes their first deliveries due; returns how many lanes.';
