create or replace function plinth.park_next_event(p_consumer text, p_shard integer, p_reason text) returns uuid
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _position bigint;
  _id uuid;
  _tenant_id uuid;
  _status record;
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_reason(p_reason);
  perform plinth_events.refuse_rebuild(p_consumer);
  select c.failures, c.last_error into _status from plinth_kernel.feed_cursors as c where c.feed = 'plinth_events.events' and c.consumer = p_consumer and c.shard = p_shard;
  perform plinth_events.require_consumer(found, p_consumer || ' with shard ' || p_shard);
  -- What fails comes before what is unread.
  select p.id into _id from plinth_events.parked as p
  where p.consumer = p_consumer and p.shard = p_shard and p.status = 'failing' and p.ended_at is null order by p.position limit 1 for update;
  if found then
    perform plinth.park_failing_event(_id, p_reason);
    return _id;
  end if;
  -- Nobody else may have read the log since a dump was restored: what is next depends on it.
  perform plinth_kernel.feed_epoch('plinth_events.events');
  _position := plinth_kernel.feed_skip('plinth_events.events', p_consumer, p_shard::smallint);
  if _position is null then
    return null;
  end if;
  insert into plinth_events.parked (tenant_id, consumer, shard, position, event_id, event_type, stream, correlation_id, error, attempts, reason)
  select e.tenant_id, p_consumer, p_shard, e.position, e.id, e.type, e.aggregate_type || ':' || e.aggregate_id, e.correlation_id,
    coalesce(_status.last_error, 'parked by hand'), _status.failures, p_reason
  from plinth_events.events as e where e.shard = p_shard and e.position = _position
  returning id, tenant_id into _id, _tenant_id;
  perform plinth_events.audit_operation(_tenant_id, 'events.event_parked', 'parked_event', _id::text, jsonb_build_object('consumer', p_consumer, 'position', _position), p_reason);
  return _id;
end
$$;
comment on function plinth.park_next_event(text, integer, text) is
  'Parks the event of a shard that a consumer fails on, so that its tenant goes on without it: the way out for a consumer that blocks. Where none fails, the next one that it has not read. Returns the id in plinth.parked_events, null when nothing is unread. For plinth_worker; recorded in the audit log. Errors: events_consumer_unknown, events_operation_invalid, kernel_forbidden.';
