-- why: unique keys with modes; gates, which are what batches and jobs with dependencies wait at; waits between attempts of a single job.
--   A gate opens when all its parts have ended. Parts are updated by whoever ends the part, nobody counts, and nobody waits for
--   another (docs: README, "Batches and flows"): who finds no other part open opens the gate, who cannot tell writes a gate check.
-- locks: unique_keys and kinds, for an instant
-- breaking: no

alter table plinth_jobs.unique_keys
  add column until text not null default 'done' constraint unique_keys_until check (until in ('done', 'started', 'window')),
  add column expires_at timestamptz;
create index unique_keys_by_expiry on plinth_jobs.unique_keys (expires_at) where expires_at is not null;
comment on column plinth_jobs.unique_keys.until is 'When the key is free again: the job has ended, it has started, or expires_at has passed.';

alter table plinth_jobs.kinds
  add column backoff jsonb,
  add column max_lost smallint not null default 3 constraint kinds_max_lost check (max_lost between 1 and 1000);
comment on column plinth_jobs.kinds.backoff is 'Waits between attempts; null: exponential. See plinth_jobs.backoff_of.';
comment on column plinth_jobs.kinds.max_lost is 'Attempts in a row that may be lost with their worker before the job is given up.';

create table plinth_jobs.retry_policies (
  tenant_id uuid not null,
  job_id uuid not null,
  backoff jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, job_id)
);
create index retry_policies_by_age on plinth_jobs.retry_policies (created_at);
comment on table plinth_jobs.retry_policies is 'Waits between the attempts of a job that has its own, until it completes or is cancelled.';

create table plinth_jobs.gates (
  tenant_id uuid not null,
  -- Of a job: the id of the job that waits at it. Of a batch: its own.
  id uuid not null default plinth_kernel.uuid_v7(),
  opens text not null default 'batch' constraint gates_opens check (opens in ('batch', 'job')),
  name text constraint gates_name check (length(name) <= 500),
  on_failure text not null default 'fail' constraint gates_on_failure check (on_failure in ('fail', 'ignore', 'run')),
  -- When the waiting job may run at the earliest.
  run_at timestamptz,
  on_complete jsonb,
  on_success jsonb,
  on_part_failure jsonb,
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  completed bigint,
  failed bigint,
  cancelled bigint,
  -- What was refused when it opened.
  error text,
  primary key (tenant_id, id)
);
create index gates_by_correlation on plinth_jobs.gates (tenant_id, correlation_id, id);
create index gates_by_end on plinth_jobs.gates (finished_at) where finished_at is not null;
comment on table plinth_jobs.gates is 'What waits until all its parts have ended: a batch, which then enqueues its callbacks, or a job that depends on others, which may then run.';

create table plinth_jobs.gate_parts (
  tenant_id uuid not null,
  gate_id uuid not null,
  -- The gate itself: a batch that is open for more.
  job_id uuid not null,
  status text constraint gate_parts_status check (status in ('completed', 'failed', 'cancelled')),
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (tenant_id, gate_id, job_id)
);
create index gate_parts_by_job on plinth_jobs.gate_parts (tenant_id, job_id);
create index gate_parts_open on plinth_jobs.gate_parts (tenant_id, gate_id, job_id) where status is null;
create index gate_parts_by_end on plinth_jobs.gate_parts (ended_at) where ended_at is not null;
comment on table plinth_jobs.gate_parts is 'Jobs that a batch or a waiting job waits for, and how they ended.';

create table plinth_jobs.gate_checks (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  gate_id uuid not null,
  due_at timestamptz not null default clock_timestamp() + interval '20 milliseconds',
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
-- Without tenant_id first: workers look across tenants.
create index gate_checks_due on plinth_jobs.gate_checks (due_at);
comment on table plinth_jobs.gate_checks is 'Gates that have to be looked at again, because parts of them ended at the same moment in transactions that could not see each other.';

-- It has more parameters now; with both, a call by name would be ambiguous.
drop function if exists plinth.schedule_job(text, text, jsonb, integer, timestamptz, integer, text, text);
drop function if exists plinth.retry_job(uuid, integer);
