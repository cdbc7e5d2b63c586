-- why: finished jobs of one queue are kept longer or shorter than others
-- locks: none, everything is new
-- breaking: no

-- The nil tenant stands for every tenant without a row of its own.
create table plinth_jobs.queue_retention (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  queue text collate "C" not null check (length(queue) between 1 and 100),
  keep interval not null check (keep between interval '1 hour' and interval '10 years'),
  reason text check (length(reason) <= 1000),
  set_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, queue)
);
comment on table plinth_jobs.queue_retention is 'How long completed and cancelled jobs of a queue are kept, where it is not as long as the others.';
