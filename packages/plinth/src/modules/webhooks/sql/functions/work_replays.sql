create or replace function plinth_webhooks.work_replays() returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _replay plinth_webhooks.replays;
  _batch integer;
  _rows jsonb;
  _last uuid;
  _looked integer;
  _added integer;
  _all integer := 0;
begin
  for _replay in
    select r.* from plinth_webhooks.replays r join plinth_webhooks.subscriptions s on s.tenant_id = r.tenant_id and s.id = r.subscription_id and s.enabled
    where r.status = 'running' order by r.worked_at nulls first limit 20 for no key update of r skip locked
  loop
    _batch := least(500, floor(_replay.rate_per_second * extract(epoch from clock_timestamp() - coalesce(_replay.worked_at, _replay.created_at - interval '1 second'))))::integer;
    -- What was added has to go out before more is: the queue stays short, and a cancelled replay stops soon.
    continue when _batch < 1 or (select count(*) from (select from plinth_webhooks.deliveries d
      where d.tenant_id = _replay.tenant_id and d.subscription_id = _replay.subscription_id and d.status = 'pending' limit 1000) w) >= 1000;
    select count(*), (array_agg(c.id order by c.id desc))[1],
      coalesce(jsonb_agg(jsonb_build_object('tenant_id', _replay.tenant_id, 'id', c.event_id, 'delivery_id', c.id, 'type', c.type, 'correlation_id', c.correlation_id, 'place', c.place)) filter (where c.wanted), '[]')
    into _looked, _last, _rows
    from (select c.*, row_number() over (order by c.id) as place from plinth_webhooks.replay_candidates(_replay, _batch) c) c;
    if _replay.only_failed then
      _added := plinth_webhooks.revive(_replay.tenant_id, _replay.subscription_id, _replay.id, array(select (x ->> 'delivery_id')::uuid from jsonb_array_elements(_rows) x));
    else
      _added := case when _rows = '[]' then 0 else plinth_webhooks.fan_out(_rows, _replay.subscription_id, _replay.id) end;
    end if;
    update plinth_webhooks.replays r
    set added = r.added + _added, done_to = coalesce(_last, r.done_to), worked_at = case when r.rate_per_second is null then clock_timestamp()
        -- What a tick leaves over of its time counts for the next, up to a second.
        else greatest(clock_timestamp() - interval '1 second', coalesce(r.worked_at, r.created_at) + _batch / r.rate_per_second * interval '1 second') end, status = case when _looked < _batch then 'done' else 'running' end,
      finished_at = case when _looked < _batch then clock_timestamp() end
    where r.tenant_id = _replay.tenant_id and r.id = _replay.id;
    _all := _all + _looked;
  end loop;
  return _all;
end
$$;
comment on function plinth_webhooks.work_replays() is 'Adds the next batch of every running replay to what is to be delivered; returns how many events it looked at.';
