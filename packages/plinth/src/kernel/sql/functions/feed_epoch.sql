-- The current epoch of a log; begins a new one when the rows came from another cluster (restored dump), whose transaction ids
-- mean nothing here. Rows written since the restore are told from restored ones by their xact, which lies between the arrival of
-- the newest epoch row (its own xmin) and now. Where old ids happen to fall into that span, rows count as new: read again, never lost.
--
-- pg_upgrade also makes another cluster, but copies tables as they are, and transaction ids go on. Then the epoch row has the xmin that it was
-- written with (freezing leaves it readable), and no id in the log or in a cursor lies ahead of this cluster. The second is asked too, because
-- a restore may meet the same 32 bits by accident.
create or replace function plinth_kernel.feed_epoch(p_feed text) returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  _here bigint := (select c.system_identifier from pg_catalog.pg_control_system() as c);
  _newest record;
  _epoch integer := 1;
  _arrived numeric;
  _now numeric;
  _ahead boolean;
  _after bigint := 0;
begin
  select e.epoch, e.system_identifier into _newest from plinth_kernel.feed_epochs as e where e.feed = p_feed order by e.epoch desc limit 1;
  if found and _newest.system_identifier = _here then
    return _newest.epoch;
  end if;
  -- One process at a time; the loser looks again.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('plinth feed epoch ' || p_feed, 0));
  select e.epoch, e.system_identifier, e.xmin::text::numeric as arrived, e.xmin = e.written_by as copied into _newest
  from plinth_kernel.feed_epochs as e where e.feed = p_feed order by e.epoch desc limit 1;
  if _newest.system_identifier = _here then
    return _newest.epoch;
  end if;
  _now := pg_catalog.pg_current_xact_id()::text::numeric;
  if _newest.copied then
    -- What this statement sees was written under ids before the end of its own snapshot, or by this transaction.
    execute pg_catalog.format('select exists (select from plinth_kernel.feed_cursors as f where f.feed = $1 and pg_snapshot_xmax(f.s1) > pg_snapshot_xmax(pg_current_snapshot()))
        or exists (select from pg_catalog.generate_series(0, 7) as s (shard) cross join lateral (
          select from %s as e where e.shard = s.shard and e.xact >= pg_snapshot_xmax(pg_current_snapshot()) and e.xact <> $2 limit 1) as o)', p_feed::regclass)
      into _ahead using p_feed, _now::text::xid8;
  end if;
  if not _ahead then
    _epoch := _newest.epoch;
    update plinth_kernel.feed_epochs set system_identifier = _here where feed = p_feed and epoch = _epoch;
  else
    if _newest.epoch is not null then
      _epoch := _newest.epoch + 1;
      -- xmin has 32 bits: put it into the current or the last wrap of the id space.
      _arrived := _newest.arrived + pg_catalog.floor(_now / 4294967296) * 4294967296;
      if _arrived > _now then
        _arrived := _arrived - 4294967296;
      end if;
      execute pg_catalog.format('select coalesce(max(position), 0) from %s where not (xact > $1 and xact <= $2)', p_feed::regclass)
        into _after using _arrived::text::xid8, _now::text::xid8;
    end if;
    insert into plinth_kernel.feed_epochs (feed, epoch, after_position, system_identifier) values (p_feed, _epoch, _after, _here);
  end if;
  -- Of the row, not of the transaction: under a savepoint they differ.
  update plinth_kernel.feed_epochs set written_by = xmin where feed = p_feed and epoch = _epoch;
  return _epoch;
end
$$;
comment on function plinth_kernel.feed_epoch(text) is
  'Current epoch of a log (schema.table). Begins a new one after a dump was restored into another cluster, not after pg_upgrade; called by every consumer when it starts.';
