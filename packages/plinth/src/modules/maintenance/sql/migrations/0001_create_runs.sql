-- why: every run of maintenance, what it did step by step, and the reports it made
-- locks: none, everything is new
-- breaking: no

create table plinth_maintenance.runs (
  id uuid primary key default plinth_kernel.uuid_v7(),
  task text not null check (task in ('daily', 'weekly', 'monthly', 'retention', 'premake')),
  status text not null default 'running' check (status in ('running', 'completed', 'failed', 'interrupted')),
  kinds text[],
  -- Counts and warnings; nothing that names a tenant.
  report jsonb not null default '{}' check (jsonb_typeof(report) = 'object'),
  error text check (length(error) <= 2000),
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  started_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz
);
create index runs_running on plinth_maintenance.runs (status) where status = 'running';
create index runs_by_age on plinth_maintenance.runs (started_at);
comment on table plinth_maintenance.runs is 'Every run of maintenance. One that was killed is marked interrupted by the next.';

-- The nil tenant stands for steps that concern the whole installation; a sweep of one tenant's rows is that tenant's.
create table plinth_maintenance.steps (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  run_id uuid not null,
  kind text not null,
  action text not null check (action in ('premake', 'detach', 'archive', 'verify', 'drop', 'sweep', 'keep', 'vacuum', 'report')),
  target text not null,
  status text not null default 'running' check (status in ('running', 'completed', 'failed')),
  row_count bigint,
  size_bytes bigint,
  note text check (length(note) <= 2000),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid,
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (tenant_id, id)
);
create index steps_by_run on plinth_maintenance.steps (run_id, id);
create index steps_by_age on plinth_maintenance.steps (created_at);
create index steps_by_correlation on plinth_maintenance.steps (tenant_id, correlation_id);
comment on table plinth_maintenance.steps is 'What a run did, one row a step, written before the step begins: a step that stays running was cut off.';

create table plinth_maintenance.reports (
  id uuid primary key default plinth_kernel.uuid_v7(),
  run_id uuid,
  name text not null check (length(name) between 1 and 100),
  data jsonb not null,
  created_at timestamptz not null default clock_timestamp()
);
create index reports_by_age on plinth_maintenance.reports (created_at);
comment on table plinth_maintenance.reports is 'What weekly and monthly maintenance found: partition health, failed jobs, webhook failure rates, storage usage.';
