-- why: snapshots of folded streams; one idempotency key may stand for several events; streams get an id to be listed by
-- locks: access exclusive on streams while its rows are rewritten (each gets an id) and its new index is built, and on dedup for a moment
-- breaking: no
alter table plinth_events.streams add column id uuid not null default plinth_kernel.uuid_v7();
create index streams_by_id on plinth_events.streams (tenant_id, id);
comment on column plinth_events.streams.id is 'Id of the first event, or one of its own when a check for the absence of the stream came before it.';
comment on column plinth_events.streams.version is 'Version of the last event; 0 where only the absence of the stream was ever checked.';

alter table plinth_events.dedup add column event_ids uuid[];
comment on column plinth_events.dedup.event_ids is 'All events of the key in their order, where there are more than one; event_id is the first.';

create table plinth_events.snapshots (
  tenant_id uuid not null,
  aggregate_type plinth_events.name not null,
  aggregate_id plinth_events.name not null,
  fold plinth_events.name not null,
  version bigint not null check (version > 0),
  state jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, aggregate_type, aggregate_id, fold, version)
);
create index snapshots_by_age on plinth_events.snapshots (created_at);
comment on table plinth_events.snapshots is 'States of folded streams, to fold from instead of from the first event. They can be deleted at any time.';
comment on column plinth_events.snapshots.fold is 'Name of the fold and fingerprint of its code: a state made by other code is not used.';
