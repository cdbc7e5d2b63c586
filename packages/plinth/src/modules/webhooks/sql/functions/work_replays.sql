-- What a tenant's open transaction holds of a replay is waited for no longer than a moment, because the replays of others wait behind it.
-- Who had no turn for longest comes first, and every look is a turn, also one that came to nothing: replays that cannot go on keep nobody waiting.
create or replace function plinth_webhooks.work_replays() returns integer
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '200ms'
as $$
declare
  _replay plinth_webhooks.replays;
  _looked integer;
  _worked integer := 0;
  _all integer := 0;
begin
  for _replay in
    select r.* from plinth_webhooks.replays r join plinth_webhooks.subscriptions s on s.tenant_id = r.tenant_id and s.id = r.subscription_id and s.enabled
    where r.status = 'running' order by r.looked_at nulls first limit 100 for no key update of r skip locked
  loop
    begin
      _looked := plinth_webhooks.work_replay(_replay);
    exception when lock_not_available then
      update plinth_webhooks.replays r set looked_at = clock_timestamp() where r.tenant_id = _replay.tenant_id and r.id = _replay.id;
      continue;
    when data_exception or undefined_object or feature_not_supported or program_limit_exceeded then
      -- A filter from before those that raise were refused.
      update plinth_webhooks.replays r set status = 'failed', last_error = left(sqlerrm, 500), finished_at = clock_timestamp() where r.tenant_id = _replay.tenant_id and r.id = _replay.id;
      continue;
    end;
    _all := _all + _looked;
    _worked := _worked + least(_looked, 1);
    exit when _worked = 20;
  end loop;
  return _all;
end
$$;
comment on function plinth_webhooks.work_replays() is 'Adds the next batch of up to 20 running replays to what is to be delivered; returns how many events it looked at.';
