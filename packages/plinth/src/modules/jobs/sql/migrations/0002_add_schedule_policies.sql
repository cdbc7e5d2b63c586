-- why: what a schedule does with missed ticks, how far it spreads them, in which window it ticks, whether its jobs may overlap. The
--   index of what is due becomes one over coalesce(next_run_at, '-infinity'), without the schedules that stopped: with "next_run_at is
--   null or next_run_at <= now" the condition was no bound of the index, so that a look-up read all of it whenever less than a batch was due.
-- locks: access exclusive on schedules for a moment; the index is built over schedules, of which there are thousands at most
-- breaking: no; the scheduler of an older worker finds its function gone and leaves the ticks to a newer one
alter table plinth_jobs.schedules
  add column missed_runs text not null default 'once' check (missed_runs in ('skip', 'once', 'all')),
  add column catch_up_limit smallint not null default 1000 check (catch_up_limit between 1 and 1000),
  add column jitter_ms integer not null default 0 check (jitter_ms between 0 and 3600000),
  add column starts_at timestamptz,
  add column ends_at timestamptz,
  add column skip_if_running boolean not null default false,
  -- What the scheduler left out or made up last; an error, in contrast, stops the schedule.
  add column note text,
  add constraint schedules_window check (starts_at < ends_at),
  -- Every tick has its job, or a tick has none while one runs: not both.
  add constraint schedules_overlap check (not (skip_if_running and missed_runs = 'all'));

drop index plinth_jobs.schedules_due;
-- Without tenant_id first: the scheduler looks across tenants.
create index schedules_due on plinth_jobs.schedules ((coalesce(next_run_at, '-infinity'::timestamptz))) where enabled and error is null;

-- One call for each schedule; plinth_jobs.run_schedules takes a batch.
drop function if exists plinth_jobs.run_schedule(uuid, uuid, timestamptz, timestamptz, uuid);
