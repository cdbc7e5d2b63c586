-- The current epoch of a log; begins a new one when the rows came from another cluster (restored dump), whose transaction ids
-- mean nothing here. Rows written since the restore are told from restored ones by their xact, which lies between the arrival of
-- the newest epoch row (its own xmin) and now. Where old ids happen to fall into that span, rows count as new: read again, never lost.
create or replace function plinth_kernel.feed_epoch(p_feed text) returns integer
language plpgsql volatile set search_path = ''
as $$
declare
  _here bigint := (select c.system_identifier from pg_catalog.pg_control_system() as c);
  _newest record;
  _arrived numeric;
  _now numeric;
  _after bigint;
begin
  select e.epoch, e.system_identifier, e.xmin::text::numeric as arrived into _newest
  from plinth_kernel.feed_epochs as e where e.feed = p_feed order by e.epoch desc limit 1;
  if found and _newest.system_identifier = _here then
    return _newest.epoch;
  end if;
  -- One process at a time; the loser looks again.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('plinth feed epoch ' || p_feed, 0));
  select e.epoch, e.system_identifier, e.xmin::text::numeric as arrived into _newest
  from plinth_kernel.feed_epochs as e where e.feed = p_feed order by e.epoch desc limit 1;
  if not found then
    insert into plinth_kernel.feed_epochs (feed, epoch, after_position, system_identifier) values (p_feed, 1, 0, _here);
    return 1;
  end if;
  if _newest.system_identifier = _here then
    return _newest.epoch;
  end if;
  _now := pg_catalog.pg_current_xact_id()::text::numeric;
  -- xmin has 32 bits: put it into the current or the last wrap of the id space.
  _arrived := _newest.arrived + pg_catalog.floor(_now / 4294967296) * 4294967296;
  if _arrived > _now then
    _arrived := _arrived - 4294967296;
  end if;
  execute pg_catalog.format('select coalesce(max(position), 0) from %s where not (xact > $1 and xact <= $2)', p_feed::regclass)
    into _after using _arrived::text::xid8, _now::text::xid8;
  insert into plinth_kernel.feed_epochs (feed, epoch, after_position, system_identifier) values (p_feed, _newest.epoch + 1, _after, _here);
  return _newest.epoch + 1;
end
$$;
comment on function plinth_kernel.feed_epoch(text) is
  'Current epoch of a log (schema.table). Begins a new one after a dump was restored into another cluster; called by every consumer when it starts.';
