-- Ids ascend, and every id that was looked at comes back, wanted or not, so that the replay can go on behind it.
create or replace function plinth_webhooks.replay_candidates(p_replay plinth_webhooks.replays, p_limit integer)
returns table (id uuid, event_id uuid, type text, correlation_id uuid, wanted boolean)
language plpgsql stable security invoker set search_path = '' set jit = off
as $$
#variable_conflict use_column
declare
  _end uuid := plinth_kernel.v7_floor(p_replay.until);
  _public_only boolean := (select s.public_only from plinth_webhooks.subscriptions s where s.tenant_id = p_replay.tenant_id and s.id = p_replay.subscription_id);
  _patterns text[] := (select s.patterns from plinth_webhooks.subscriptions s where s.tenant_id = p_replay.tenant_id and s.id = p_replay.subscription_id);
begin
  if p_replay.only_failed then
    return query
    select d.id, d.event_id, d.event_type, d.correlation_id,
      d.status = 'failed' and (p_replay.event_ids is null or d.event_id = any (p_replay.event_ids)) and (p_replay.patterns is null or plinth_webhooks.match_keys(d.event_type) && p_replay.patterns)
    from plinth_webhooks.deliveries d
    where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id and d.id > p_replay.done_to and d.id < _end
    order by d.id limit p_limit;
  else
    return query
    with event as materialized (
      select e.id, e.type::text as type, e.correlation_id from plinth_events.events e
      where e.tenant_id = p_replay.tenant_id and e.id > p_replay.done_to and e.id < _end and (p_replay.event_ids is null or e.id = any (p_replay.event_ids))
      order by e.id limit p_limit
    ), type as materialized (
      select t.type, k.keys && _patterns and (p_replay.patterns is null or k.keys && p_replay.patterns)
        and (not _public_only or plinth_webhooks.is_public_type(p_replay.tenant_id, t.type)) as wanted
      from (select distinct e.type from event e) t cross join lateral (select plinth_webhooks.match_keys(t.type) as keys) k
    )
    select e.id, e.id, e.type, e.correlation_id, t.wanted from event e join type t on t.type = e.type order by e.id;
  end if;
end
$$;
comment on function plinth_webhooks.replay_candidates(plinth_webhooks.replays, integer) is 'The next ids that a replay looks at, and which of them it wants.';
