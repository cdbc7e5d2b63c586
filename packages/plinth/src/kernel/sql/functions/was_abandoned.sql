-- A row lock is the id of its transaction in xmax, and it stays there when that transaction has ended. xmax has 32 bits: it is put into the current or the
-- last wrap of the id space.
create or replace function plinth_kernel.was_abandoned(p_xmax xid) returns boolean
language sql stable set search_path = ''
as $$
  select coalesce(pg_catalog.pg_xact_status(id.whole::text::xid8) = 'aborted', false)
  from (select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric as next) as now
  cross join lateral (
    select pg_catalog.trunc(now.next - now.next % 4294967296 + p_xmax::text::bigint - case when now.next % 4294967296 <= p_xmax::text::bigint then 4294967296 else 0 end) as whole) as id
  where p_xmax::text::bigint > 2 and id.whole > 2
$$;
comment on function plinth_kernel.was_abandoned(xid) is 'Whether the xmax of a row, read before it was locked, is that of a transaction that locked or changed it and was rolled back, or ended with its connection.';
