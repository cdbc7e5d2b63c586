-- why: personal fields of events are encrypted under a key of the person, so that deleting the key makes them unreadable
-- locks: access exclusive on types and common_types while a computed column is added
-- breaking: no
create table plinth_events.subject_keys (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subject_hash bytea not null,
  wrapped bytea,
  master text,
  created_at timestamptz not null default clock_timestamp(),
  erased_at timestamptz,
  primary key (tenant_id, id),
  unique (tenant_id, subject_hash),
  constraint erased_or_wrapped check ((wrapped is null) = (erased_at is not null) and (wrapped is null) = (master is null))
);
create index subject_keys_by_master on plinth_events.subject_keys (master, id) where wrapped is not null;
comment on table plinth_events.subject_keys is 'Keys of data subjects, wrapped under a key that is not in this database. A row without one stands for a subject that was erased.';
comment on column plinth_events.subject_keys.subject_hash is 'SHA-256 of tenant, colon and subject: the subject itself is not kept here.';
comment on column plinth_events.subject_keys.wrapped is 'AES-256-GCM under the key of the tenant that is derived from the master key; null once the subject was erased.';
comment on column plinth_events.subject_keys.master is 'Names the master key that it is wrapped under.';

alter table plinth_events.types add column unmarked_at timestamptz,
  add column personal boolean not null generated always as (unmarked_at is null and coalesce(schema @? '$.**."x-personal" ? (@ == true)', false)) stored;
alter table plinth_events.common_types add column unmarked_at timestamptz,
  add column personal boolean not null generated always as (unmarked_at is null and coalesce(schema @? '$.**."x-personal" ? (@ == true)', false)) stored;
comment on column plinth_events.types.unmarked_at is 'Since when its marks of personal fields count no longer: plinth.unmark_event_type.';
comment on column plinth_events.types.personal is 'It marks fields that are encrypted before they reach the database, in payloads of every version of the type.';
