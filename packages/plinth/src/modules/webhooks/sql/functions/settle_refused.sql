-- Were it left to the end of its lease, the same result would come again and again, with a request to the receiver each time.
create or replace function plinth_webhooks.settle_refused(p_row jsonb) returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _given record;
  _key text;
begin
  select g.* into _given from jsonb_to_record(p_row) as g (tenant_id uuid, id uuid, subscription_id uuid, lease_id uuid, outcome text);
  delete from plinth_webhooks.flights f
  where f.tenant_id = _given.tenant_id and f.subscription_id = _given.subscription_id and f.delivery_id = _given.id and f.lease_id = _given.lease_id;
  if not found then
    return false;
  end if;
  perform plinth_webhooks.log_attempt(p_row);
  if _given.outcome = 'delivered' then
    delete from plinth_webhooks.deliveries d where d.tenant_id = _given.tenant_id and d.id = _given.id returning d.lane_key into _key;
  else
    update plinth_webhooks.deliveries d set status = 'failed', finished_at = clock_timestamp(), due_at = 'infinity', attempts = d.attempts + 1, last_error = p_row ->> 'error_message'
    where d.tenant_id = _given.tenant_id and d.id = _given.id returning d.lane_key into _key;
  end if;
  -- The next claim finds the next of an ordered lane.
  insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select _given.tenant_id, _given.subscription_id, _key where _key is not null;
  return true;
end
$$;
comment on function plinth_webhooks.settle_refused(jsonb) is 'Ends an attempt whose result settle cannot write down: what was delivered leaves, anything else is given up. Returns whether it did; not under another lease.';
