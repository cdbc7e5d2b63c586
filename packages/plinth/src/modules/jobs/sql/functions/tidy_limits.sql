-- Holds and rates are written by every limited claim, and their dead rows stay while a snapshot is held: when the tables have grown, the
-- few live rows are copied, the table is emptied by TRUNCATE, and they are put back. A claimer takes its lock on them before the
-- snapshot by which it counts, so it sees them before or after.
create or replace function plinth_jobs.tidy_limits(p_bytes bigint default 1048576) returns bigint
language plpgsql volatile security definer set search_path = '' set lock_timeout = '50ms'
as $$
declare
  _stale bigint;
  _holds plinth_jobs.holds[];
  _rates plinth_jobs.rates[];
begin
  perform plinth_kernel.require_worker();
  -- Two at it would each wait for the other's lock on the tables.
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('plinth jobs tidy_limits', 0)) then
    return 0;
  end if;
  -- Attempts that ended without plinth_jobs.settle: written over by SQL of others, or settled by a snapshot from before a move.
  delete from plinth_jobs.holds h where not exists (
    select from plinth_jobs.jobs_run r where r.tenant_id = h.tenant_id and r.id = h.job_id and r.run_id = h.run_id and r.status = 'processing');
  get diagnostics _stale = row_count;
  -- next_at is never after idle_at, and has an index.
  delete from plinth_jobs.rates r where r.next_at < (select clock_timestamp()) - interval '1 minute' and r.idle_at < (select clock_timestamp()) - interval '1 minute';
  -- Claims that were under way, or began before the limit was committed, have not counted their jobs. A minute is longer than any of them takes.
  if exists (select from plinth_jobs.limits l where l.recount_until > clock_timestamp()) then
    update plinth_jobs.limits l set recount_until = clock_timestamp() + interval '1 minute' from (
      select n.tenant_id, n.id from plinth_jobs.limits n where n.recount_until = 'infinity' for update skip locked) n
    where l.tenant_id = n.tenant_id and l.id = n.id;
    perform plinth_jobs.hold_running();
  end if;
  -- A live row takes about 300 bytes with its indexes: what is mostly alive is left as it is.
  if pg_catalog.pg_total_relation_size('plinth_jobs.holds') > greatest(p_bytes, 1200 * (select count(*) from plinth_jobs.holds))
    or pg_catalog.pg_total_relation_size('plinth_jobs.rates') > greatest(p_bytes, 1200 * (select count(*) from plinth_jobs.rates)) then
    begin
      lock table plinth_jobs.holds, plinth_jobs.rates in access exclusive mode;
      _holds := array(select h from plinth_jobs.holds h);
      _rates := array(select r from plinth_jobs.rates r);
      truncate plinth_jobs.holds, plinth_jobs.rates;
      insert into plinth_jobs.holds select (unnest(_holds)).*;
      insert into plinth_jobs.rates select (unnest(_rates)).*;
    exception when lock_not_available or deadlock_detected then
      null;
    end;
  end if;
  return _stale;
end
$$;
comment on function plinth_jobs.tidy_limits(bigint) is 'Removes holds of attempts that have ended unnoticed, returns how many, counts attempts that began unseen by a limit that was just set, and rewrites the tables of holds and rates when they have p_bytes. For plinth_worker.';
