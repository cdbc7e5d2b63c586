-- why: events that a consumer could not handle and that were put aside; backlogs are read in the order of positions
-- locks: share lock on plinth_events.events while the index is built
-- breaking: no
create index events_by_position on plinth_events.events (shard, position);

create table plinth_events.parked (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  consumer text not null,
  shard smallint not null,
  position bigint not null,
  event_id uuid not null,
  event_type text not null,
  stream text,
  correlation_id uuid,
  status text not null default 'parked' check (status in ('failing', 'waiting', 'parked', 'due', 'handled', 'discarded', 'superseded', 'gone')),
  -- Null: it was never tried.
  error text,
  attempts integer not null,
  -- How many of the last tries ended their process.
  lost integer not null default 0,
  -- failing: not before this moment; infinity: not by itself.
  retry_at timestamptz,
  -- Why it was discarded, or parked by hand.
  reason text,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (tenant_id, id),
  check ((status in ('failing', 'waiting', 'parked', 'due')) = (ended_at is null))
);
create index parked_open on plinth_events.parked (consumer, status, position) where ended_at is null;
create index parked_by_event on plinth_events.parked (tenant_id, event_id) where ended_at is null;
create index parked_held on plinth_events.parked (consumer, tenant_id, position) where status in ('failing', 'waiting');
create index parked_by_correlation on plinth_events.parked (tenant_id, correlation_id);
create index parked_by_age on plinth_events.parked (ended_at);
comment on table plinth_events.parked is 'Events that a consumer could not handle and that were put aside so that its shard goes on, and later events of their tenants that come after them. failing: is tried again at retry_at; waiting: comes after one that fails; parked: waits for somebody; due: is tried once more; superseded: the consumer was rewound and reads it again; gone: it left with the retention policy.';
