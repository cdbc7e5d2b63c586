-- why: which code the tables of a projection were made by, and how far making them anew has come
-- locks: none, everything is new
-- breaking: no
create table plinth_kernel.feed_projections (
  name text primary key,
  kind text not null check (kind in ('async', 'inline')),
  -- That of the code which made what is in the tables; null: not known, they were there before the projection ran here, or code of several wrote them.
  revision text,
  -- That of the processes which run it: of those that started last.
  declared text not null,
  -- When one of them last said so; null: no worker runs it, and whoever rebuilds it speaks for the code.
  declared_at timestamptz,
  phase text check (phase in ('replaying', 'swapping')),
  rebuild_revision text,
  shadows jsonb,
  cancel_reason text,
  error text,
  -- What comparing the new tables with the old ones found, the last time.
  comparison jsonb,
  -- Its handler was given personal fields in readable form: the tables may hold them.
  opened boolean not null default false,
  -- Erasures of data subjects that the tables may not show yet; what there was of them when the rebuild began, which it does show.
  erasures bigint not null default 0,
  rebuild_erasures bigint,
  rebuild_started_at timestamptz,
  rebuilt_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  check ((phase is null) = (rebuild_revision is null))
);
comment on table plinth_kernel.feed_projections is 'Projections of the log and their rebuilds. The shadow tables of a rebuild that was interrupted stand in `shadows`.';

create table plinth_kernel.projection_notes (
  id bigint generated always as identity primary key,
  -- Null: a data subject was erased, which concerns all of them.
  name text,
  kind text,
  revision text,
  noted_at timestamptz not null default clock_timestamp()
);
comment on table plinth_kernel.projection_notes is 'What transactions of tenants have to say of projections: that one was given personal fields, that a subject was erased. Only ever inserted, so that none of them waits for another; plinth_kernel.projections_fold puts them into feed_projections.';
