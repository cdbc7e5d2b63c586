-- why: what each kind of record is kept for, who overrides it, what is held, and the way of every partition that leaves
-- locks: none, everything is new
-- breaking: no

create table plinth_kernel.retention_kinds (
  kind text primary key,
  table_name text not null,
  tenancy text not null check (tenancy in ('tenant', 'global')),
  method text not null check (method in ('forever', 'partition', 'delete')),
  keep interval check (keep >= interval '0'),
  every text check (every in ('month', 'day')),
  archive boolean not null default false,
  age_column text,
  condition text,
  entity text,
  fillfactor smallint check (fillfactor between 10 and 100),
  constraint method_fits check (case method when 'partition' then keep is not null and every is not null when 'delete' then keep is not null and age_column is not null else true end)
);
comment on table plinth_kernel.retention_kinds is 'What the module cards say about the life of their rows, one row a table; rewritten by every migration.';
comment on column plinth_kernel.retention_kinds.kind is 'module.table, for example audit.entries.';
comment on column plinth_kernel.retention_kinds.condition is 'Of what is deleted row by row: which rows. Of partitions: which rows keep theirs from leaving.';
comment on column plinth_kernel.retention_kinds.entity is 'SQL expression over the row that names its entity (order:4711), for holds on entities.';

-- The nil tenant id stands for the whole installation: its row replaces the card's policy for every tenant without a row of its own.
create table plinth_kernel.retention_policies (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  kind text not null,
  -- Not longer than there are dates for: one row that cannot be reckoned with would stop retention for everybody.
  keep interval check (keep between interval '1 day' and interval '1000 years'),
  archive boolean,
  reason text,
  set_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, kind)
);
comment on table plinth_kernel.retention_policies is 'Policies that differ from the cards, by tenant and kind. keep null: forever. archive null: as the card says.';

create table plinth_kernel.retention_holds (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  kind text,
  -- A pattern that ends in an escape raises where it is compared, in the retention of everybody.
  entity text check (length(entity) between 1 and 500 and entity !~ '(^|[^\\])(\\\\)*\\$'),
  reason text not null check (length(reason) between 1 and 1000),
  placed_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  placed_at timestamptz not null default clock_timestamp(),
  released_at timestamptz,
  released_by text,
  release_reason text,
  primary key (tenant_id, id)
);
create index retention_holds_open on plinth_kernel.retention_holds (tenant_id, kind) where released_at is null;
comment on table plinth_kernel.retention_holds is 'Legal holds. While one is open, no row that it covers is deleted, whatever the policy says. kind null: all kinds; entity: a LIKE pattern, null for all.';

-- One row for each partition on its way out. The states only move forward, so that a run that was killed is taken up where it stood.
create table plinth_kernel.retention_partitions (
  id uuid primary key default plinth_kernel.uuid_v7(),
  kind text not null,
  table_name text not null,
  partition_name text not null,
  relation oid not null,
  lower_id uuid not null,
  upper_id uuid not null,
  state text not null default 'leaving' check (state in ('leaving', 'detached', 'archived', 'verified', 'dropped', 'returned')),
  row_count bigint,
  min_id uuid,
  max_id uuid,
  size_bytes bigint,
  archive_key text,
  archive_sha256 text,
  archive_bytes bigint,
  rows_sha256 text,
  note text,
  began_at timestamptz not null default clock_timestamp(),
  detached_at timestamptz,
  archived_at timestamptz,
  verified_at timestamptz,
  ended_at timestamptz
);
create unique index retention_partitions_open on plinth_kernel.retention_partitions (relation) where state not in ('dropped', 'returned');
create index retention_partitions_by_kind on plinth_kernel.retention_partitions (kind, lower_id);
comment on table plinth_kernel.retention_partitions is 'Every partition that left or is leaving: how many rows, where its archive is, its checksums, when it was dropped.';
