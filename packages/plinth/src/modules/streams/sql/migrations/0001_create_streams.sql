-- why: streams of bytes or JSON that are appended to and read over HTTP from any offset (the Durable Streams protocol)
-- locks: none, everything is new
-- breaking: no

create domain plinth_streams.path as text constraint path_form check (length(value) between 1 and 1000 and value !~ '[[:cntrl:]]');
comment on domain plinth_streams.path is 'Name of a stream: 1 to 1,000 characters, as it stands in the address.';

create table plinth_streams.streams (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  path plinth_streams.path not null,
  content_type text not null,
  tail bigint not null default 0,
  closed boolean not null default false,
  closed_by jsonb,
  last_seq text,
  ttl_s bigint check (ttl_s between 0 and 3153600000),
  expires_text text,
  expires_at timestamptz,
  touched_at timestamptz not null default clock_timestamp(),
  ends_at timestamptz,
  forked_from uuid,
  forked_path text,
  fork_at bigint,
  fork_sub bigint,
  deleted_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, path)
) with (fillfactor = 70);
create index streams_by_source on plinth_streams.streams (tenant_id, forked_from) where forked_from is not null;
create index streams_by_end on plinth_streams.streams (ends_at) where ends_at is not null;
comment on table plinth_streams.streams is 'Streams of a tenant. The lock on a row orders the appends to its stream.';
comment on column plinth_streams.streams.tail is 'Position after the last message: bytes appended since the beginning, those of the source included.';
comment on column plinth_streams.streams.closed_by is 'Producer, epoch and sequence number of the append that closed it, so that a repetition of that one succeeds.';
comment on column plinth_streams.streams.ends_at is 'Moment from which the stream is treated as gone: expires_at, or ttl_s after it was last read or appended to.';
comment on column plinth_streams.streams.deleted_at is 'Set instead of deleting the row while forks still read from it.';

create table plinth_streams.messages (
  tenant_id uuid not null,
  stream_id uuid not null,
  position bigint not null,
  data bytea not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, stream_id, position),
  foreign key (tenant_id, stream_id) references plinth_streams.streams (tenant_id, id) on delete cascade
);
comment on table plinth_streams.messages is 'What was appended, one row an append. JSON is kept as the values of the append, joined by commas.';
comment on column plinth_streams.messages.position is 'Position after the message.';

create table plinth_streams.producers (
  tenant_id uuid not null,
  stream_id uuid not null,
  producer_id text not null check (length(producer_id) between 1 and 500),
  epoch bigint not null,
  last_seq bigint not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, stream_id, producer_id),
  foreign key (tenant_id, stream_id) references plinth_streams.streams (tenant_id, id) on delete cascade
);
comment on table plinth_streams.producers is 'How far each idempotent producer of a stream has come.';
