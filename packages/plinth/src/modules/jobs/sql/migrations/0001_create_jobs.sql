-- why: jobs, their attempts and their schedules. One table, plinth_jobs.jobs, holds every job, and its status decides where the row
--   lives (docs/adr/0008, 0013). Claims touch only jobs_ready, a ring of four tables that are inserted into and deleted from, never
--   updated, and emptied by TRUNCATE: VACUUM can do nothing while a snapshot is held, TRUNCATE can. A claim moves a row to jobs_run,
--   where it stays: its end is an update in place, and the day's partition is the history. Rows move by DELETE and INSERT in one
--   statement, never by UPDATE of status: a waiting update of a row that moved fails with a serialization error, a waiting update
--   of a deleted row finds nothing.
-- locks: none, everything is new
-- breaking: no

-- Domains rather than CHECK constraints: a check is prepared anew by every statement, a domain is part of the cached plan, and each function that it calls costs (docs/adr/0016).
-- Of all JSON only an object contains {}.
create domain plinth_jobs.kind as varchar(200) constraint kind_given check (value <> '');
create domain plinth_jobs.name as varchar(500);
create domain plinth_jobs.queue as varchar(100) collate "C" constraint queue_given check (value <> '');
create domain plinth_jobs.priority as smallint constraint priority_range check (value between 1 and 100);
create domain plinth_jobs.payload as jsonb constraint payload_is_object check (value @> '{}');
create domain plinth_jobs.max_attempts as smallint constraint max_attempts_range check (value between 1 and 1000);
create domain plinth_jobs.percent as smallint constraint percent_range check (value between 0 and 100);
create domain plinth_jobs.note as varchar(1000);
create domain plinth_jobs.concurrency_key as varchar(200) collate "C";
create domain plinth_jobs.unique_key as varchar(500) constraint unique_key_given check (value <> '');
comment on domain plinth_jobs.kind is 'Kind of job, which names its handler; 1 to 200 characters.';
comment on domain plinth_jobs.name is 'What people call it; at most 500 characters.';
comment on domain plinth_jobs.queue is 'Name of a queue; 1 to 100 characters.';
comment on domain plinth_jobs.priority is '1 is most urgent, 5 the default, 100 the last.';
comment on domain plinth_jobs.payload is 'A JSON object.';
comment on domain plinth_jobs.max_attempts is '1 to 1,000 attempts.';
comment on domain plinth_jobs.percent is '0 to 100.';
comment on domain plinth_jobs.note is 'A remark on progress; at most 1,000 characters.';
comment on domain plinth_jobs.concurrency_key is 'Jobs of a tenant and queue with the same key form a lane of their own; empty: none; at most 200 characters.';
comment on domain plinth_jobs.unique_key is 'Key of which one live job may exist; 1 to 500 characters.';

-- Order within a lane, by the moment of writing. CACHE 1: a cached block would let an idle connection enqueue into the past.
create sequence plinth_jobs.job_seq;
-- Which table of the ring is written to. A sequence, because it leaves no dead rows and is seen by old snapshots.
create sequence plinth_jobs.open_slot minvalue 0 maxvalue 3 start 0;
select setval('plinth_jobs.open_slot', 0);
grant select on sequence plinth_jobs.open_slot to plinth_app, plinth_worker;
-- When all scheduled jobs were last looked through, seconds since 1970; only kept once their index is large (plinth_jobs.promote).
create sequence plinth_jobs.promoted_at;
grant update on sequence plinth_jobs.promoted_at to plinth_worker;

-- What has one length and is never null stands first: it is found without looking at the rest, and nothing is lost to alignment.
create table plinth_jobs.jobs (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  -- The fence: a new id for every attempt, made when it is claimed. Before the first attempt nobody holds it, and the id of the job will
  -- do (a random one costs 3 us); it must not be null, for UPDATE may move the row to where it is a key.
  run_id uuid not null default plinth_kernel.uuid_v7(),
  seq bigint not null default nextval('plinth_jobs.job_seq'),
  run_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp(),
  xact xid8 not null default pg_current_xact_id(),
  priority plinth_jobs.priority not null default 5,
  slot smallint not null default 0,
  attempts smallint not null default 0,
  -- Something besides its row has to be settled when it ends: a unique key, a cap, a batch, jobs that wait for it.
  linked boolean not null default false,
  -- Every update compares the columns that an index or its condition names, old and new: these two stand before what has to be walked through.
  correlation_id uuid default plinth_kernel.correlation_id(),
  worker text,
  queue plinth_jobs.queue not null default 'default',
  kind plinth_jobs.kind not null,
  concurrency_key plinth_jobs.concurrency_key not null default '',
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  payload plinth_jobs.payload not null default '{}',
  causation_id uuid default plinth_kernel.causation_id(),
  name plinth_jobs.name,
  -- Null: that of the kind.
  max_attempts plinth_jobs.max_attempts,
  unique_key text,
  deadline timestamptz,
  started_at timestamptz,
  -- What changes while it runs and when it ends stands last: an update then logs only the end of the row.
  error text,
  status text not null default 'pending',
  progress plinth_jobs.percent not null default 0,
  cancel_requested_at timestamptz,
  finished_at timestamptz,
  progress_note plinth_jobs.note,
  result jsonb
) partition by list (status);

create table plinth_jobs.jobs_ready partition of plinth_jobs.jobs for values in ('pending') partition by list (slot);
create table plinth_jobs.jobs_scheduled partition of plinth_jobs.jobs for values in ('scheduled');
create table plinth_jobs.jobs_failed partition of plinth_jobs.jobs for values in ('failed');
-- By run_id, not by id: a job may be claimed months after it was enqueued.
create table plinth_jobs.jobs_run partition of plinth_jobs.jobs for values in ('completed', 'cancelled', 'processing') partition by range (run_id);

-- Its body stands in functions/begin_by_hand.sql.
create function plinth_jobs.begin_by_hand() returns trigger language plpgsql set search_path = '' as $$ begin return new; end $$;
create trigger begin_by_hand before update of status on plinth_jobs.jobs_ready for each row execute function plinth_jobs.begin_by_hand();
create trigger begin_by_hand before update of status on plinth_jobs.jobs_scheduled for each row execute function plinth_jobs.begin_by_hand();
create trigger begin_by_hand before update of status on plinth_jobs.jobs_failed for each row execute function plinth_jobs.begin_by_hand();

alter table plinth_jobs.jobs_scheduled add primary key (tenant_id, id);
alter table plinth_jobs.jobs_failed add primary key (tenant_id, id);
alter table plinth_jobs.jobs_run add primary key (tenant_id, id, run_id);
create index jobs_scheduled_due on plinth_jobs.jobs_scheduled (run_at);
create index jobs_scheduled_by_correlation on plinth_jobs.jobs_scheduled (tenant_id, correlation_id, id);
create index jobs_failed_by_correlation on plinth_jobs.jobs_failed (tenant_id, correlation_id, id);
create index jobs_failed_by_end on plinth_jobs.jobs_failed (finished_at);
-- What was ended by UPDATE of plinth.background_jobs and still holds something (plinth_jobs.settle_by_hand). Claims and completions never enter it.
create index jobs_run_by_hand on plinth_jobs.jobs_run (tenant_id, id) where worker is null and linked;
create index jobs_failed_by_hand on plinth_jobs.jobs_failed (tenant_id, id) where worker is null and linked;
-- Ids of correlations are made in order of time, as the rows are: a block range index finds them and costs an insert nothing.
create index jobs_run_by_correlation on plinth_jobs.jobs_run using brin (correlation_id uuid_minmax_multi_ops, id uuid_minmax_multi_ops) with (pages_per_range = 32, autosummarize = on);

do $$
declare
  _slot text;
  _partition text;
begin
  for _n in 0 .. 3 loop
    _slot := 'jobs_ready_' || _n;
    -- No autovacuum: what is consumed leaves by TRUNCATE.
    execute format('create table plinth_jobs.%I partition of plinth_jobs.jobs_ready for values in (%s) with (autovacuum_enabled = false)', _slot, _n);
    -- A lane is what shares one order and one fair turn. It does not start with tenant_id: workers claim across tenants.
    execute format('create index %I on plinth_jobs.%I (queue, priority, tenant_id, concurrency_key, seq)', _slot || '_lane', _slot);
    execute format('create index %I on plinth_jobs.%I using brin (id uuid_minmax_multi_ops, correlation_id uuid_minmax_multi_ops) with (pages_per_range = 16)', _slot || '_ids', _slot);
    -- An empty table has a first range with a summary, which every insert would write anew (141,000 instructions, a third of an enqueue).
    perform pg_catalog.brin_desummarize_range(format('plinth_jobs.%I', _slot || '_ids')::regclass, 0);
    -- How many ranges have a summary since the slot was emptied.
    execute format('create sequence plinth_jobs.%I minvalue 0 start 0', _slot || '_summarised');
    perform setval(format('plinth_jobs.%I', _slot || '_summarised'), 0);
    -- There is no primary key, and a publication for all tables would refuse every claim. It is logged only where wal_level is logical.
    execute format('alter table plinth_jobs.%I replica identity full', _slot);
    execute format('comment on table plinth_jobs.%I is %L', _slot, 'Jobs that may run now, slot ' || _n || ' of the ring.');
  end loop;
  foreach _partition in array array['jobs_ready', 'jobs_ready_0', 'jobs_ready_1', 'jobs_ready_2', 'jobs_ready_3', 'jobs_scheduled', 'jobs_failed', 'jobs_run'] loop
    execute format('alter table plinth_jobs.%I enable row level security, force row level security', _partition);
    execute format('create policy owner on plinth_jobs.%I to plinth_owner using (true) with check (true)', _partition);
  end loop;
end
$$;

comment on table plinth_jobs.jobs is 'Every job: work to be done once, later, elsewhere. Its status decides in which partition it lives.';
comment on table plinth_jobs.jobs_ready is 'Jobs that may run now: a ring of tables that are emptied by TRUNCATE.';
comment on table plinth_jobs.jobs_scheduled is 'Jobs whose time has not come.';
comment on table plinth_jobs.jobs_failed is 'Dead letters: jobs whose last attempt failed. They can be run again.';
comment on table plinth_jobs.jobs_run is 'Jobs that run, have completed or were cancelled, by day of their last attempt.';

create table plinth_jobs.unique_keys (
  tenant_id uuid not null,
  kind text not null,
  key plinth_jobs.unique_key not null,
  job_id uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, kind, key)
);
comment on table plinth_jobs.unique_keys is 'Unique keys that are taken, and by which job. A second one with the key is not written; it waits while the first transaction is open.';

create table plinth_jobs.workers (
  -- Its name, #, and what tells it from others of that name, before and beside it.
  id text primary key,
  name text not null,
  beat_at timestamptz not null default clock_timestamp(),
  lease interval not null default '15 seconds',
  -- Key of the advisory lock that its session holds while it lives; null: only the heartbeat tells.
  session_lock bigint,
  -- Null: it did not say, and may take any.
  kinds text[],
  queues text[],
  started_at timestamptz not null default clock_timestamp()
);
comment on table plinth_jobs.workers is 'Processes that claim jobs. One that dies loses its jobs: at once when its session lock is free, else when its lease ends.';

create table plinth_jobs.claims (
  id uuid primary key default plinth_kernel.uuid_v7(),
  worker text not null,
  tenant_ids uuid[] not null,
  job_ids uuid[] not null,
  -- The started_at of its jobs: a job that ran again since belongs to another claim.
  created_at timestamptz not null default clock_timestamp()
);
create index claims_by_worker on plinth_jobs.claims (worker);
comment on table plinth_jobs.claims is 'Which jobs a worker took, a row for each claim, until all of them are settled: what is taken back when the worker dies.';

create table plinth_jobs.cancel_requests (
  tenant_id uuid not null,
  job_id uuid not null,
  run_id uuid not null,
  worker text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, job_id, run_id)
);
create index cancel_requests_by_worker on plinth_jobs.cancel_requests (worker);
comment on table plinth_jobs.cancel_requests is 'Running attempts that should stop; the heartbeat of their worker hands them over.';

create table plinth_jobs.attempts (
  tenant_id uuid not null,
  -- The run_id of the attempt.
  id uuid not null default plinth_kernel.uuid_v7(),
  job_id uuid not null,
  kind text not null,
  attempt smallint not null,
  outcome text not null check (outcome in ('completed', 'failed', 'cancelled', 'lost', 'snoozed')),
  error text,
  worker text,
  started_at timestamptz,
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid,
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);

create index attempts_by_job on plinth_jobs.attempts (tenant_id, job_id, id);
create index attempts_by_correlation on plinth_jobs.attempts (tenant_id, correlation_id, id);

comment on table plinth_jobs.attempts is 'One row for each attempt at a job that ended; created_at is when. Append only.';

create table plinth_jobs.schedules (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  name text not null check (length(name) between 1 and 200),
  cron text not null check (length(cron) between 1 and 200),
  time_zone text not null default 'UTC',
  kind text not null check (length(kind) between 1 and 200),
  payload jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
  queue text not null default 'default' check (length(queue) between 1 and 100),
  priority smallint not null default 5 check (priority between 1 and 100),
  max_attempts smallint check (max_attempts between 1 and 1000),
  enabled boolean not null default true,
  source text not null default 'api' check (source in ('api', 'card')),
  -- Null: not worked out yet; the scheduler does.
  next_run_at timestamptz,
  last_run_at timestamptz,
  last_job_id uuid,
  error text,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
-- Without tenant_id first: the scheduler looks across tenants.
create index schedules_due on plinth_jobs.schedules (next_run_at nulls first) where enabled;
comment on table plinth_jobs.schedules is 'Jobs that are enqueued by the clock: cron text and time zone. Those of the modules belong to the system tenant.';

create table plinth_jobs.kinds (
  kind text primary key,
  summary text not null,
  max_attempts smallint not null default 3 check (max_attempts between 1 and 1000),
  timeout_ms integer not null,
  seen_at timestamptz not null default clock_timestamp()
);
comment on table plinth_jobs.kinds is 'Kinds of job that a worker with a handler for them has announced, with their defaults.';

create function plinth_jobs.system_tenant() returns uuid
language sql immutable parallel safe
return '00000000-0000-7000-8000-706c696e7468'::uuid;
comment on function plinth_jobs.system_tenant() is 'Tenant of the jobs that serve the whole installation, such as maintenance. No customer is in it.';

insert into plinth_kernel.tenants (id, slug, name) values (plinth_jobs.system_tenant(), 'plinth-system', 'Plinth itself') on conflict do nothing;
