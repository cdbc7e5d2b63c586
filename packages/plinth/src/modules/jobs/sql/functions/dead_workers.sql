-- A free session lock tells of a process that is gone within seconds; a process that stands still holds its lock and is found by its beat.
-- The grace lets a process that lost its connection, not its life, take the lock again.
create or replace function plinth_jobs.dead_workers(p_grace interval default interval '1500 milliseconds') returns setof text
language sql stable security definer set search_path = ''
as $$
  select w.id from plinth_jobs.workers w
  where plinth_kernel.is_worker() and (w.beat_at + w.lease < (select clock_timestamp())
    or (w.session_lock is not null and w.beat_at + p_grace < (select clock_timestamp()) and not exists (
      select from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
        and ((l.classid::bigint << 32) | l.objid::bigint) = w.session_lock)))
$$;
comment on function plinth_jobs.dead_workers(interval) is 'Workers that gave no sign of life for their lease, or whose session has ended and who were silent for p_grace.';
