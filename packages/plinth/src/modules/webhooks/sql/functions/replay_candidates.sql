-- Ids ascend, and every id that was looked at comes back, wanted or not, so that the replay can go on behind it. The filter is judged of p_judged of
-- them, because that reads the payload.
create or replace function plinth_webhooks.replay_candidates(p_replay plinth_webhooks.replays, p_limit integer, p_judged integer)
returns table (id uuid, event_id uuid, type text, correlation_id uuid, matched boolean, wanted boolean)
language plpgsql stable security invoker set search_path = '' set jit = off
as $$
#variable_conflict use_column
declare
  _end uuid := plinth_kernel.v7_floor(p_replay.until);
  _to plinth_webhooks.subscriptions;
begin
  select s.* into _to from plinth_webhooks.subscriptions s where s.tenant_id = p_replay.tenant_id and s.id = p_replay.subscription_id;
  if p_replay.only_failed then
    return query
    select d.id, d.event_id, d.event_type, d.correlation_id, w.wanted, w.wanted
    from plinth_webhooks.deliveries d
    cross join lateral (select d.status = 'failed' and (not _to.public_only or plinth_webhooks.is_public_type(d.tenant_id, d.event_type)) and (p_replay.event_ids is null or d.event_id = any (p_replay.event_ids))
      and (p_replay.patterns is null or plinth_webhooks.match_keys(d.event_type) && p_replay.patterns) as wanted) w
    where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id and d.id > p_replay.done_to and d.id < _end
    order by d.id limit p_limit;
  else
    return query
    with event as materialized (
      select e.id, e.type::text as type, e.correlation_id, row_number() over (order by e.id) as place from plinth_events.events e
      where e.tenant_id = p_replay.tenant_id and e.id > p_replay.done_to and e.id < _end and (p_replay.event_ids is null or e.id = any (p_replay.event_ids))
      order by e.id limit p_limit
    ), type as materialized (
      select t.type, k.keys && _to.patterns and (p_replay.patterns is null or k.keys && p_replay.patterns)
        and (not _to.public_only or plinth_webhooks.is_public_type(p_replay.tenant_id, t.type)) as matched
      from (select distinct e.type from event e) t cross join lateral (select plinth_webhooks.match_keys(t.type) as keys) k
    )
    select e.id, e.id, e.type, e.correlation_id, t.matched, case when not t.matched or _to.filter_path is null or e.place > p_judged then t.matched
      else plinth_webhooks.wants(_to.filter_path, (select plinth_webhooks.document_of(p) from plinth_events.events p where p.tenant_id = p_replay.tenant_id and p.id = e.id)) end
    from event e join type t on t.type = e.type order by e.id;
  end if;
end
$$;
comment on function plinth_webhooks.replay_candidates(plinth_webhooks.replays, integer, integer) is 'The next ids that a replay looks at, which of them are of a type that it wants (matched), and which of these the filter lets through (wanted; judged of the first p_judged).';
