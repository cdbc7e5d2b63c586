-- Nothing that a tenant can store is meant to raise here. If something does, it must not keep the events of others: the batch is halved until the
-- event is found, and its subscriptions are served one by one. As long as nothing raises that costs one subtransaction a batch.
create or replace function plinth_webhooks.fan_out(p_events jsonb, p_subscription_id uuid default null, p_replay_id uuid default null) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _half integer := jsonb_array_length(p_events) / 2;
  _why text;
begin
  begin
    return plinth_webhooks.make_deliveries(p_events, p_subscription_id, p_replay_id);
  exception when others then
    _why := sqlerrm;
    -- No disk, no memory, a lock, a server that stops: that is not about the events.
    if left(sqlstate, 2) in ('08', '40', '53', '55', '57', '58') then
      raise;
    end if;
  end;
  if _half > 0 then
    return plinth_webhooks.fan_out(jsonb_path_query_array(p_events, '$[0 to $last]', jsonb_build_object('last', _half - 1)), p_subscription_id, p_replay_id)
      + plinth_webhooks.fan_out(jsonb_path_query_array(p_events, '$[$first to last]', jsonb_build_object('first', _half)), p_subscription_id, p_replay_id);
  elsif p_subscription_id is null then
    return (select coalesce(sum(plinth_webhooks.fan_out(p_events, s.id, p_replay_id)), 0) from (
      select s.id from plinth_webhooks.matching((p_events -> 0 ->> 'tenant_id')::uuid, p_events -> 0 ->> 'type') s order by s.id) s);
  end if;
  return plinth_webhooks.make_thin_delivery(p_events -> 0, p_subscription_id, p_replay_id, _why);
end
$$;
comment on function plinth_webhooks.fan_out(jsonb, uuid, uuid) is
  'Makes a delivery for every event, [{tenant_id, id, type, correlation_id, place}], and every enabled subscription of its tenant with a pattern that matches and a filter that lets it through; for a replay, of one subscription only. What raises becomes a delivery without data, or one that was given up where it was the filter. Returns how many.';
