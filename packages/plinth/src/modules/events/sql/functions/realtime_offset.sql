-- In the form of apps/server/realtime-offset.ts. Stable, and it has to be: then the snapshot is that of the statement that calls it, so that rows read by the
-- same statement fit it. A volatile function would take a newer one.
create or replace function plinth.realtime_offset() returns text
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _seen pg_snapshot := pg_current_snapshot();
  _xmin bigint := pg_snapshot_xmin(_seen)::text::bigint;
  _xmax bigint := pg_snapshot_xmax(_seen)::text::bigint;
  -- No snapshot counts its own transaction as open. What it writes later is not in the page, so it is told.
  _open bigint[] := array(
    select x.x::text::bigint from pg_snapshot_xip(_seen) as x (x)
    union select o.x::text::bigint from pg_current_xact_id_if_assigned() as o (x) where o.x < pg_snapshot_xmax(_seen)
    order by 1);
begin
  if pg_is_in_recovery() then
    raise exception 'There is no offset on a standby: its snapshots do not tell which transactions were open' using errcode = 'PL409',
      detail = '{"code":"events_offset_on_standby"}', hint = 'Load the page from the primary.';
  end if;
  return translate(encode((
    select string_agg(plinth_events.varint(v.value), ''::bytea order by v.place) from (
      -- The form, where the log stands, when it was (not before the snapshot, whatever the isolation), and the snapshot by differences.
      select h.value, h.place from unnest(array[1, plinth_kernel.feed_newest_epoch('plinth_events.events'), plinth_events.timeline(),
        ceil(extract(epoch from clock_timestamp()) * 1000)::bigint, _xmin, _xmax - _xmin, cardinality(_open)]) with ordinality as h (value, place)
      union all
      select o.value - lag(o.value, 1, _xmin) over (order by o.place), 7 + o.place from unnest(_open) with ordinality as o (value, place)) as v), 'base64'), E'+/=\n', '-_');
end
$$;
comment on function plinth.realtime_offset() is
  'Where /realtime has to begin so that a page and what it is told leave no gap: what committed before is in what this transaction reads from now on, and all else is told. Take it before the rows, or in the same statement; under repeatable read and serializable anywhere in the transaction. What commits in between is in both: merge by id. Not on a standby. Errors: events_offset_on_standby.';
