-- By the name of the file that is written now: the control file names the new timeline only when the first checkpoint after a promotion has ended, minutes later.
create or replace function plinth_events.timeline() returns integer
language sql volatile set search_path = ''
as $$
  select case when pg_is_in_recovery() then 0 else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer end
$$;
comment on function plinth_events.timeline() is
  'Timeline of the server, another one after each failover and restore to a point in time: what was committed before may be lost. 0 on a standby.';
