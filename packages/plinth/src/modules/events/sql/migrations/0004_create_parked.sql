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
  status text not null default 'parked' check (status in ('parked', 'due', 'handled', 'discarded', 'superseded', 'gone')),
  error text not null,
  attempts integer not null,
  -- Why it was discarded, or parked by hand.
  reason text,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  primary key (tenant_id, id),
  check ((status in ('parked', 'due')) = (ended_at is null))
);
create index parked_open on plinth_events.parked (consumer, position) where ended_at is null;
create index parked_by_correlation on plinth_events.parked (tenant_id, correlation_id);
create index parked_by_age on plinth_events.parked (ended_at);
comment on table plinth_events.parked is 'Events that a consumer could not handle and that were put aside so that its shard goes on. parked: waits for somebody; due: is tried again; superseded: the consumer was rewound and reads it again; gone: it left with the retention policy.';
