-- Ids, of events, ascend, and every id that was looked at comes back, wanted or not, so that the replay can go on behind it. Filters are judged of p_judged of
-- them, because that reads the payload. Ids of deliveries have the millisecond of their event, and within it no order: of what failed, all of the last
-- millisecond is read, wherever a batch ends.
create or replace function plinth_webhooks.replay_candidates(p_replay plinth_webhooks.replays, p_limit integer, p_judged integer)
returns table (id uuid, event_id uuid, delivery_id uuid, type text, correlation_id uuid, matched boolean, wanted boolean)
language plpgsql stable security invoker set search_path = '' set jit = off
as $$
#variable_conflict use_column
declare
  _end uuid := plinth_kernel.v7_floor(p_replay.until);
  _begin uuid := plinth_kernel.v7_floor(plinth_kernel.v7_time(p_replay.done_to));
  _to plinth_webhooks.subscriptions;
begin
  select s.* into _to from plinth_webhooks.subscriptions s where s.tenant_id = p_replay.tenant_id and s.id = p_replay.subscription_id;
  if p_replay.only_failed then
    return query
    with edge as materialized (
      select plinth_kernel.v7_floor(plinth_kernel.v7_time((array_agg(x.id order by x.id desc))[1]) + interval '1 millisecond') as id from (
        select d.id from plinth_webhooks.deliveries d
        where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id and d.id >= _begin and d.id < _end and coalesce(d.event_id, d.id) > p_replay.done_to
        order by d.id limit p_limit) x
    ), looked as materialized (
      select d.id, d.event_id, d.event_type, d.correlation_id, coalesce(d.event_id, d.id) as turn, row_number() over (order by coalesce(d.event_id, d.id)) as place,
        d.status = 'failed' and (not _to.public_only or plinth_webhooks.is_public_type(d.tenant_id, d.event_type)) and (p_replay.event_ids is null or d.event_id = any (p_replay.event_ids))
          and (p_replay.patterns is null or plinth_webhooks.match_keys(d.event_type) && p_replay.patterns) as matched
      from plinth_webhooks.deliveries d
      where d.tenant_id = p_replay.tenant_id and d.subscription_id = p_replay.subscription_id and d.id >= _begin and d.id < least(_end, (select e.id from edge e))
        and coalesce(d.event_id, d.id) > p_replay.done_to
      order by coalesce(d.event_id, d.id) limit p_limit
    )
    -- The filter of the subscription let them through when they were made. An event that is not kept fits no filter.
    select l.turn, l.event_id, l.id, l.event_type, l.correlation_id, l.matched, case when not l.matched or p_replay.filter_path is null or l.place > p_judged then l.matched
      else plinth_webhooks.wants(p_replay.filter_path, (select plinth_webhooks.document_of(p) from plinth_events.events p where p.tenant_id = p_replay.tenant_id and p.id = l.event_id)) end
    from looked l order by l.turn;
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
    select e.id, e.id, plinth_webhooks.delivery_id(p_replay.subscription_id, e.id), e.type, e.correlation_id, t.matched, case when not t.matched or (_to.filter_path is null and p_replay.filter_path is null) or e.place > p_judged then t.matched
      else coalesce((select plinth_webhooks.wants(_to.filter_path, d.document) and plinth_webhooks.wants(p_replay.filter_path, d.document)
        from (select plinth_webhooks.document_of(p) as document from plinth_events.events p where p.tenant_id = p_replay.tenant_id and p.id = e.id offset 0) d), false) end
    from event e join type t on t.type = e.type order by e.id;
  end if;
end
$$;
comment on function plinth_webhooks.replay_candidates(plinth_webhooks.replays, integer, integer) is 'The next ids that a replay looks at, which of them are of a type that it wants (matched), and which of these the filters, of the subscription and of the replay, let through (wanted; judged of the first p_judged).';
