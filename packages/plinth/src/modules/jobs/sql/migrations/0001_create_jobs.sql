-- why: jobs, their attempts and their schedules. One table, plinth_jobs.jobs, holds every job, and its status decides where the row
--   lives: jobs_live (scheduled, pending, processing) stays small and hot, jobs_failed holds the dead letters, jobs_finished is
--   partitioned by day and leaves by dropping days. One table rather than a union of three, because SELECT ... FOR UPDATE on a view
--   over a union locks nothing, without an error (tried on PostgreSQL 18.4), and the seeds take jobs that way from the view
--   background_jobs. A row moves by DELETE and INSERT in one statement, never by UPDATE of status: a waiting update of a row that
--   moved fails with a serialization error, a waiting update of a deleted row finds nothing.
-- locks: none, everything is new
-- breaking: no

-- Domains rather than CHECK constraints: a check is prepared anew by every statement, a domain is part of the cached plan (audit/0001).
create domain plinth_jobs.kind as text constraint kind_length check (length(value) between 1 and 200);
create domain plinth_jobs.name as text constraint name_length check (length(value) <= 500);
create domain plinth_jobs.queue as text constraint queue_length check (length(value) between 1 and 100);
create domain plinth_jobs.priority as smallint constraint priority_range check (value between 1 and 100);
create domain plinth_jobs.payload as jsonb constraint payload_is_object check (jsonb_typeof(value) = 'object');
create domain plinth_jobs.attempt_count as smallint constraint attempts_range check (value >= 0);
create domain plinth_jobs.max_attempts as smallint constraint max_attempts_range check (value between 1 and 1000);
create domain plinth_jobs.percent as smallint constraint percent_range check (value between 0 and 100);
create domain plinth_jobs.note as text constraint note_length check (length(value) <= 1000);
create domain plinth_jobs.unique_key as text constraint unique_key_length check (length(value) between 1 and 500);
comment on domain plinth_jobs.kind is 'Kind of job, which names its handler; 1 to 200 characters.';
comment on domain plinth_jobs.name is 'What people call it; at most 500 characters.';
comment on domain plinth_jobs.queue is 'Name of a queue; 1 to 100 characters.';
comment on domain plinth_jobs.priority is '1 is most urgent, 5 the default, 100 the last.';
comment on domain plinth_jobs.payload is 'A JSON object.';
comment on domain plinth_jobs.attempt_count is 'How many attempts were begun.';
comment on domain plinth_jobs.max_attempts is '1 to 1,000 attempts.';
comment on domain plinth_jobs.percent is '0 to 100.';
comment on domain plinth_jobs.note is 'A remark on progress; at most 1,000 characters.';
comment on domain plinth_jobs.unique_key is 'Key of which one live job may exist; 1 to 500 characters.';

create table plinth_jobs.jobs (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  kind plinth_jobs.kind not null,
  name plinth_jobs.name,
  queue plinth_jobs.queue not null default 'default',
  status text not null default 'pending',
  priority plinth_jobs.priority not null default 5,
  payload plinth_jobs.payload not null default '{}',
  result jsonb,
  error text,
  attempts plinth_jobs.attempt_count not null default 0,
  max_attempts plinth_jobs.max_attempts not null default 3,
  progress plinth_jobs.percent not null default 0,
  progress_note plinth_jobs.note,
  unique_key plinth_jobs.unique_key,
  run_at timestamptz not null default clock_timestamp(),
  -- The fence: a new id for every attempt, made when it is claimed. Before the first attempt nobody holds it.
  run_id uuid not null default plinth_kernel.uuid_v7(),
  worker text,
  lease_until timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  cancel_requested_at timestamptz,
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp()
) partition by list (status);

create table plinth_jobs.jobs_live partition of plinth_jobs.jobs for values in ('scheduled', 'pending', 'processing');
create table plinth_jobs.jobs_failed partition of plinth_jobs.jobs for values in ('failed');
-- By run_id, not by id: a job may finish months after it was enqueued, its last attempt began just before it ended.
create table plinth_jobs.jobs_finished partition of plinth_jobs.jobs for values in ('completed', 'cancelled') partition by range (run_id);

alter table plinth_jobs.jobs_live add primary key (tenant_id, id);
alter table plinth_jobs.jobs_failed add primary key (tenant_id, id);
alter table plinth_jobs.jobs_finished add primary key (tenant_id, id, run_id);
create index jobs_by_correlation on plinth_jobs.jobs (tenant_id, correlation_id, id);

-- One live job for a key. Another with the same key is not written; it waits while the first one's transaction is open.
create unique index jobs_live_unique_key on plinth_jobs.jobs_live (tenant_id, kind, unique_key) where unique_key is not null;
-- These three do not start with tenant_id, because workers claim across tenants in one order.
create index jobs_live_pending on plinth_jobs.jobs_live (priority, created_at) where status = 'pending';
create index jobs_live_scheduled on plinth_jobs.jobs_live (run_at) where status = 'scheduled';
create index jobs_live_processing on plinth_jobs.jobs_live (lease_until) where status = 'processing';
-- The hot partition is all updates and deletes: clean it after a hundredth, not after a fifth of it.
alter table plinth_jobs.jobs_live set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, fillfactor = 70);

do $$
declare
  _partition text;
begin
  foreach _partition in array array['jobs_live', 'jobs_failed', 'jobs_finished'] loop
    execute format('alter table plinth_jobs.%I enable row level security, force row level security', _partition);
    execute format('create policy owner on plinth_jobs.%I to plinth_owner using (true) with check (true)', _partition);
  end loop;
end
$$;

comment on table plinth_jobs.jobs is 'Every job: work to be done once, later, elsewhere. Its status decides in which partition it lives.';
comment on table plinth_jobs.jobs_live is 'Jobs that are scheduled, pending or processing.';
comment on table plinth_jobs.jobs_failed is 'Dead letters: jobs whose last attempt failed. They can be run again.';
comment on table plinth_jobs.jobs_finished is 'Jobs that completed or were cancelled, by day of their last attempt.';

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
