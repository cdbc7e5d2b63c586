-- why: how many jobs of a queue, a tenant or a key may run at once and start in a time; whose jobs come more often; what is paused
-- locks: none, everything is new
-- breaking: no

-- Appends columns to the result, which `create or replace` cannot.
drop function if exists plinth_jobs.lanes(text[], integer);

-- The nil tenant stands for the whole installation. Limits of a tenant and of the installation both hold; among those of the
-- installation the one for a tenant replaces the one for all tenants.
create table plinth_jobs.limits (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  source text not null check (source in ('installation', 'tenant')),
  per text not null check (per in ('queue', 'tenant', 'key')),
  -- Empty: any.
  queue text collate "C" not null default '' check (length(queue) <= 100),
  concurrency_key text collate "C" not null default '' check (length(concurrency_key) <= 200),
  max_running integer check (max_running between 1 and 1000000),
  rate integer check (rate between 1 and 1000000),
  rate_period interval check (rate_period between interval '1 second' and interval '31 days'),
  burst integer check (burst between 1 and 1000000),
  reason text check (length(reason) <= 1000),
  set_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  -- Until then upkeep looks for jobs that run uncounted, because their claim could not see the limit yet; infinity: since it was set nobody has looked.
  recount_until timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, source, per, queue, concurrency_key),
  check (max_running is not null or rate is not null),
  check ((rate is null) = (rate_period is null) and (rate is null) = (burst is null)),
  check (per = 'key' or concurrency_key = ''),
  check (per <> 'queue' or (queue <> '' and tenant_id = '00000000-0000-0000-0000-000000000000'))
);
comment on table plinth_jobs.limits is 'How many jobs may run at once and how many may start in a time: of a queue, of each tenant, of each concurrency key.';

create index limits_by_recount on plinth_jobs.limits (recount_until) where recount_until is not null;

create table plinth_jobs.weights (
  tenant_id uuid not null,
  queue text collate "C" not null default '' check (length(queue) <= 100),
  weight integer not null check (weight between 1 and 1000),
  set_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, queue)
);
comment on table plinth_jobs.weights is 'Share of a tenant beside others with the same priority; without a row it is 1. An empty queue: all.';

create table plinth_jobs.pauses (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  source text not null check (source in ('installation', 'tenant')),
  -- Null: any.
  queue text collate "C" check (length(queue) between 1 and 100),
  kind text check (length(kind) between 1 and 200),
  concurrency_key text collate "C" check (length(concurrency_key) between 1 and 200),
  reason text not null check (length(reason) between 1 and 1000),
  paused_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  resumed_by text,
  created_at timestamptz not null default clock_timestamp(),
  ends_at timestamptz not null default 'infinity',
  primary key (tenant_id, id)
);
-- Claims ask whether anything is paused at all.
create index pauses_by_end on plinth_jobs.pauses (ends_at);
-- And which of a tenant's hold for a lane: those that are over stay for 30 days.
create index pauses_by_tenant on plinth_jobs.pauses (tenant_id, ends_at);
comment on table plinth_jobs.pauses is 'Jobs that may not start: those that every given column names, until ends_at.';

-- What runs under a cap: a row for each scope of a running attempt. Its count is the truth, so nothing can drift. Copied and emptied
-- by TRUNCATE when it has grown (plinth_jobs.tidy_limits), because the count must stay cheap while a snapshot is held.
create table plinth_jobs.holds (
  tenant_id uuid not null,
  run_id uuid not null,
  scope text collate "C" not null,
  job_id uuid not null,
  primary key (tenant_id, run_id, scope)
);
-- Without tenant_id first: a scope may be a queue of all tenants.
create index holds_by_scope on plinth_jobs.holds (scope);
comment on table plinth_jobs.holds is 'Attempts that run under a cap, a row for each scope that they count in.';

create table plinth_jobs.rates (
  tenant_id uuid not null,
  scope text collate "C" not null,
  -- The theoretical arrival time of GCRA: when the scope would be as if nothing had ever started in it.
  idle_at timestamptz not null,
  -- When one more may start.
  next_at timestamptz not null,
  primary key (tenant_id, scope)
);
-- Without tenant_id first: idle workers ask when the next one may start, whoever's it is.
create index rates_by_next on plinth_jobs.rates (next_at);
comment on table plinth_jobs.rates is 'State of rate limits, a row for each scope in which something has started.';
