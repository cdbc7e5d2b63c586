-- Whether a consumer has still to see a row. All arguments but the first two come from its cursor and epoch.
create or replace function plinth_kernel.feed_unread(p_xact xid8, p_position bigint, p_s1 pg_snapshot, p_s2 pg_snapshot, p_last bigint, p_above bigint, p_up_to bigint)
returns boolean
language sql immutable parallel safe
return case when p_position > p_up_to then true when p_position <= p_above then false
  else not pg_visible_in_snapshot(p_xact, p_s1) and not (p_s2 is not null and p_position <= p_last and pg_visible_in_snapshot(p_xact, p_s2)) end;
comment on function plinth_kernel.feed_unread(xid8, bigint, pg_snapshot, pg_snapshot, bigint, bigint, bigint) is 'Whether a row (xact, position) lies ahead of a cursor.';
