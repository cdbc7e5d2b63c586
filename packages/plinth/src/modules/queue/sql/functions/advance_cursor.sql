-- Moves the cursor of a queue to the first message that may still be received. The index entries before it belong to messages that are
-- gone, and while an old snapshot is held nothing but this keeps a receiver from walking over all of them.
--
-- What makes it exact: position and due time of a row are taken after the transaction id of their writer (write_effects, the take_
-- functions, release_message), and here an id is drawn after position and moment were read, by a subtransaction. So every row at or before
-- them belongs to a transaction below that id. When a later snapshot has xmin at or above it, all of those are over: what it does not see
-- before that position will never come. (xmax of a snapshot would not do in its place: it is one above the last transaction that ended,
-- and some that run may be above it.) Only in READ COMMITTED is a snapshot taken after the position was read.
create or replace function plinth_queue.advance_cursor(p_tenant uuid, p_queue text) returns void
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  _last bigint;
  _before timestamptz;
  _c plinth_queue.cursors;
  _xmin xid8;
  _top bigint;
  _given bigint;
  _first bigint;
  _due timestamptz;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return;
  end if;
  _last := coalesce(pg_sequence_last_value('plinth_queue.positions'), 0);
  _before := clock_timestamp();
  select c.* into _c from plinth_queue.cursors c where c.tenant_id = p_tenant and c.queue = p_queue for update skip locked;
  if not found then
    insert into plinth_queue.cursors (tenant_id, queue) values (p_tenant, p_queue) on conflict do nothing;
    return;
  end if;
  select pg_snapshot_xmin(s.now),
    (select r.position from plinth_queue.ready r where r.tenant_id = p_tenant and r.queue = p_queue and r.position >= _c.position order by r.position limit 1),
    (select h.visible_at from plinth_queue.hidden h where h.tenant_id = p_tenant and h.queue = p_queue and h.visible_at >= _c.due_at order by h.visible_at limit 1)
  into _xmin, _first, _due
  from (select pg_current_snapshot() as now) as s;
  if _c.seen_before is not null and _xmin < _c.seen_before then
    return;
  end if;
  _top := pg_current_xact_id()::text::bigint;
  begin
    update plinth_queue.cursors c
    set position = greatest(c.position, least(_first, c.seen_position + 1)), due_at = greatest(c.due_at, least(_due, c.seen_at)),
      seen_position = _last, seen_at = _before, moved_at = clock_timestamp()
    where c.tenant_id = p_tenant and c.queue = p_queue
    returning c.xmin::text::bigint into _given;
  exception when no_data_found then
    raise; -- Never: the clause is what makes the block a subtransaction.
  end;
  -- xmin has the lower 32 bits of an id that is above that of the transaction.
  update plinth_queue.cursors c set seen_before = (_top + ((_given - _top) & 4294967295))::text::xid8 where c.tenant_id = p_tenant and c.queue = p_queue;
end
$$;
comment on function plinth_queue.advance_cursor(uuid, text) is 'Moves the cursor of a queue past messages that are gone. Called by receivers about once a second.';
