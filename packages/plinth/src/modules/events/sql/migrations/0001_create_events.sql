-- why: the log of events with its streams, idempotency keys and event types; partitioned by month of the uuid v7 id
-- locks: none, everything is new
-- breaking: no

-- Domains rather than CHECK constraints: a domain is part of the cached plan of an insert, and each function that it calls costs (docs/adr/0016).
-- Of all JSON only an object contains {}.
create domain plinth_events.type as text constraint event_type_form check (value ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' and length(value) <= 200);
create domain plinth_events.name as varchar(500) constraint name_given check (value <> '');
create domain plinth_events.payload as jsonb constraint payload_form check (value @> '{}' and pg_column_size(value) <= 1048576);
comment on domain plinth_events.type is 'Words of letters, digits, _ and -, joined by dots: order.created, trip_completed. At most 200 characters.';
comment on domain plinth_events.name is '1 to 500 characters.';
comment on domain plinth_events.payload is 'A JSON object of at most 1 MiB.';

create table plinth_events.events (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  -- Its sequence must not be cached: a session that keeps numbers back would number a stream out of order.
  position bigint generated always as identity (cache 1),
  shard smallint not null default plinth_kernel.shard_of(plinth_kernel.tenant_id()),
  type plinth_events.type not null,
  type_version integer,
  -- Checked where the head of their stream is.
  aggregate_type text,
  aggregate_id text,
  version bigint,
  payload plinth_events.payload not null,
  metadata jsonb,
  idempotency_key text,
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  occurred_at timestamptz,
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);

create index events_by_feed on plinth_events.events (shard, xact, position);
create index events_by_correlation on plinth_events.events (tenant_id, correlation_id) where correlation_id is not null;
create index events_by_stream on plinth_events.events (tenant_id, aggregate_type, aggregate_id, version) where aggregate_id is not null;

comment on table plinth_events.events is 'What happened, one row an event, append only. An event with an aggregate has a version in its stream.';
comment on column plinth_events.events.position is 'Order of insertion; within a stream the order of versions. With gaps, and not the order of commits: read it through a feed cursor.';
comment on column plinth_events.events.type_version is 'Version of the event type whose schema the payload was checked against; null for types that are not registered.';
comment on column plinth_events.events.occurred_at is 'When it happened, where that is known to differ from created_at.';

create function plinth_events.refuse_change() returns trigger language plpgsql set search_path = '' as $$ begin return null; end $$;
comment on function plinth_events.refuse_change() is 'Keeps events append only.';
create trigger append_only before update or delete on plinth_events.events for each row execute function plinth_events.refuse_change();
create trigger append_only_truncate before truncate on plinth_events.events for each statement execute function plinth_events.refuse_change();

create table plinth_events.streams (
  tenant_id uuid not null,
  aggregate_type plinth_events.name not null,
  aggregate_id plinth_events.name not null,
  version bigint not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, aggregate_type, aggregate_id)
) with (fillfactor = 80);
comment on table plinth_events.streams is 'Heads of the streams: version of the last event. The lock on a row orders the appends to its stream.';

create table plinth_events.dedup (
  tenant_id uuid not null,
  key plinth_events.name not null,
  fingerprint bytea not null,
  event_id uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, key)
);
create index dedup_by_age on plinth_events.dedup (created_at);
comment on table plinth_events.dedup is 'Idempotency keys of events: uniqueness across partitions lives here (one key, one event, for 90 days).';

create table plinth_events.types (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  name plinth_events.type not null,
  version integer not null check (version > 0),
  schema jsonb check (jsonb_typeof(schema) = 'object' and pg_column_size(schema) <= 65536),
  mode text not null default 'reject' check (mode in ('off', 'warn', 'reject')),
  description text,
  example jsonb,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, name, version)
);
comment on table plinth_events.types is 'Event types of a tenant, with a JSON Schema (2020-12) for the payload and what happens when it does not fit.';

create table plinth_events.common_types (
  id uuid not null default plinth_kernel.uuid_v7(),
  name plinth_events.type not null,
  version integer not null check (version > 0),
  schema jsonb check (jsonb_typeof(schema) = 'object' and pg_column_size(schema) <= 65536),
  mode text not null default 'reject' check (mode in ('off', 'warn', 'reject')),
  description text,
  example jsonb,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (name, version)
);
comment on table plinth_events.common_types is 'Event types of all tenants; a type of the same name of a tenant goes before.';

create table plinth_events.schema_warnings (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  event_id uuid not null,
  event_type text not null,
  type_version integer not null,
  fault text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
create index schema_warnings_by_age on plinth_events.schema_warnings (created_at);
comment on table plinth_events.schema_warnings is 'Events that were written although they do not fit the schema of their type (mode warn).';
