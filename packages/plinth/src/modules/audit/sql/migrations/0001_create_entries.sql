-- why: the audit log, partitioned by month of its uuid v7 id, so that old months leave by dropping a partition
-- locks: none, everything is new
-- breaking: no

create table plinth_audit.entries (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  action text not null check (length(action) between 1 and 200),
  entity_type text check (length(entity_type) between 1 and 200),
  entity_id text check (length(entity_id) <= 500),
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  before jsonb,
  after jsonb,
  parent_id uuid,
  compliance_flags text[] not null default '{}',
  severity text not null default 'info' check (severity in ('info', 'warning', 'critical')),
  reason text default plinth_kernel.setting('reason'),
  ip text default plinth_kernel.setting('ip'),
  user_agent text default plinth_kernel.setting('user_agent'),
  metadata jsonb not null default '{}',
  source text not null default 'api' check (source in ('api', 'capture', 'system')),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  request_id text default plinth_kernel.setting('request_id'),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  constraint entity_id_needs_type check (entity_id is null or entity_type is not null)
) partition by range (id);

create index entries_by_entity on plinth_audit.entries (tenant_id, entity_type, entity_id, id);
create index entries_by_correlation on plinth_audit.entries (tenant_id, correlation_id, id);

comment on table plinth_audit.entries is 'One row for each thing that somebody did. Append only.';

create table plinth_audit.captured_tables (
  table_name regclass primary key,
  entity_type text not null,
  redacted text[] not null default '{}',
  created_at timestamptz not null default now()
);
comment on table plinth_audit.captured_tables is 'Tables whose row changes are captured by plinth.audit_table.';
