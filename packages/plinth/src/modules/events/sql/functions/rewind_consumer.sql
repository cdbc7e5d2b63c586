create or replace function plinth.rewind_consumer(p_consumer text, p_reason text, p_to text default null, p_position bigint default null, p_at timestamptz default null, p_forward boolean default false)
returns table (shard smallint, after_position bigint)
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _places jsonb;
  _waits text := current_setting('lock_timeout');
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_reason(p_reason);
  perform plinth_events.refuse_rebuild(p_consumer);
  select jsonb_agg(jsonb_build_object('shard', r.shard, 'after', r.after_position) order by r.shard) into _places
  from plinth_kernel.feed_rewind('plinth_events.events', p_consumer, p_to, p_position, p_at, p_forward) as r;
  perform plinth_events.require_consumer(_places is not null, p_consumer);
  -- What was put aside and is read again must not be tried twice; and what waits for its turn is passed over with what is unread. Not for long: the consumer stands
  -- still meanwhile, and a tenant may hold an event of its own in a transaction that it leaves open.
  begin
    perform set_config('lock_timeout', '2s', true);
    update plinth_events.parked as p set status = 'superseded', retry_at = null, updated_at = clock_timestamp(), ended_at = clock_timestamp()
    from jsonb_to_recordset(_places) as r (shard smallint, after bigint)
    where p.consumer = p_consumer and p.ended_at is null and p.shard = r.shard and case when r.after is null then p.status in ('failing', 'waiting') else p.position > r.after end;
    perform set_config('lock_timeout', _waits, true);
  exception when lock_not_available then
    perform plinth_events.refuse_held(p_consumer);
  end;
  perform plinth_events.audit_operation(null, 'events.consumer_rewound', 'consumer', p_consumer,
    jsonb_strip_nulls(jsonb_build_object('to', p_to, 'position', p_position, 'at', p_at, 'forward', nullif(p_forward, false))), p_reason);
  return query select r.shard, r.after from jsonb_to_recordset(_places) as r (shard smallint, after bigint) order by r.shard;
end
$$;
comment on function plinth.rewind_consumer(text, text, text, bigint, timestamptz, boolean) is
  'Makes a consumer read again: p_to beginning (everything that is kept), behind p_position, or from p_at (give or take a second); or p_to now: it passes over what it has not read, also of what was put aside to be tried again. A place ahead of what it has read is refused (kernel_rewind_passes) unless p_forward. Its handler gets those events a second time and has to bear that. Waits for batches that are being handled, and 2 s for whoever holds what was put aside. For plinth_worker; recorded in the audit log. Errors: events_consumer_unknown, events_operation_invalid, kernel_invalid_input, kernel_rewind_passes, kernel_timeout, kernel_forbidden.';
