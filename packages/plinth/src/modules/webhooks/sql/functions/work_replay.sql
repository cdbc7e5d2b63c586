create or replace function plinth_webhooks.work_replay(p_replay plinth_webhooks.replays) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _scan constant integer := 1000;
  -- A rate counts what is sent. What a turn leaves over counts for the next: a second's worth, and at least one.
  _saved constant interval := greatest(1, 1 / p_replay.rate_per_second) * interval '1 second';
  _since constant timestamptz := coalesce(p_replay.worked_at, p_replay.created_at - _saved);
  -- A time of the future was written before the clock was set back.
  _from constant timestamptz := case when _since between clock_timestamp() - _saved and clock_timestamp() then _since else clock_timestamp() - _saved end;
  _most integer := least(500, floor(p_replay.rate_per_second * extract(epoch from clock_timestamp() - _from) + 0.001))::integer;
  _rows jsonb;
  _last uuid;
  _looked integer := 0;
  _matched integer := 0;
  _added integer := 0;
  _cut boolean;
begin
  -- What was added has to go out before more is: the queue stays short, and a cancelled replay stops soon. Two looks in the order of an index each, which
  -- has nothing of what was given up: that may be a million.
  if _most < 1 or (select count(*) from (
      (select from plinth_webhooks.deliveries d where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id and d.due_at < 'infinity'
       order by d.due_at limit 1000)
      union all
      (select from plinth_webhooks.deliveries d where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id
         and d.lane_key is not null and d.status <> 'failed' and d.status = 'pending' and d.due_at = 'infinity'
       order by d.lane_key, d.seq limit 1000)) w) >= 1000 then
    update plinth_webhooks.replays r set looked_at = clock_timestamp() where r.tenant_id = p_replay.tenant_id and r.id = p_replay.id;
    return 0;
  end if;
  select count(*) filter (where c.taken), (array_agg(c.id order by c.id desc) filter (where c.taken))[1], count(*) filter (where c.taken and c.matched), bool_or(not c.taken),
    coalesce(jsonb_agg(jsonb_build_object('tenant_id', p_replay.tenant_id, 'id', c.event_id, 'delivery_id', c.delivery_id, 'type', c.type, 'correlation_id', c.correlation_id, 'place', c.place))
      filter (where c.taken and c.wanted), '[]')
  into _looked, _last, _matched, _cut, _rows
  from (select c.*, row_number() over by_id as place, count(*) filter (where c.wanted) over by_id <= _most - case when c.wanted then 0 else 1 end as taken
    from plinth_webhooks.replay_candidates(p_replay, _scan, _scan) c window by_id as (order by c.id)) c;
  if p_replay.only_failed then
    _added := plinth_webhooks.revive(p_replay.tenant_id, p_replay.subscription_id, p_replay.id, array(select (x ->> 'delivery_id')::uuid from jsonb_array_elements(_rows) x));
  elsif _rows <> '[]' then
    _added := plinth_webhooks.fan_out(_rows, p_replay.subscription_id, p_replay.id);
  end if;
  update plinth_webhooks.replays r
  set added = r.added + _added, left_out = r.left_out + _matched - _added, done_to = coalesce(_last, r.done_to), looked_at = clock_timestamp(),
    worked_at = _from + coalesce(_added / r.rate_per_second, 0) * interval '1 second',
    status = case when _looked < _scan and not coalesce(_cut, false) then 'done' else 'running' end,
    finished_at = case when _looked < _scan and not coalesce(_cut, false) then clock_timestamp() end
  where r.tenant_id = p_replay.tenant_id and r.id = p_replay.id;
  return _looked;
end
$$;
comment on function plinth_webhooks.work_replay(plinth_webhooks.replays) is 'Looks at the next 1,000 events of a replay, up to as many that it wants as its rate and 500 allow, and adds those to what is to be delivered. Returns how many it looked at: 0 when it is not its time, or enough is waiting.';
