-- why: messages that programs in any language send, receive and acknowledge. The body of a message is written once, into
--   plinth_queue.messages, which is partitioned by day and leaves by dropping days. Where a message stands is a narrow row that moves:
--   ready or grouped (may be received) -> hidden (in flight, delayed or released) -> done, or dead. Rows of ready are deleted, those of
--   hidden too, so their indexes begin with dead entries until VACUUM runs; plinth_queue.cursors holds the place from which on
--   something may be alive, so that a receiver does not walk over the dead.
-- locks: none, everything is new
-- breaking: no

-- Domains rather than CHECK constraints: a check is prepared anew by every statement, a domain is part of the cached plan (audit/0001).
create domain plinth_queue.queue_name as text constraint queue_name_form check (value ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$');
create domain plinth_queue.group_key as text constraint group_key_length check (length(value) between 1 and 200);
create domain plinth_queue.deduplication_key as text constraint deduplication_key_length check (length(value) between 1 and 500);
create domain plinth_queue.headers as jsonb constraint headers_is_object check (jsonb_typeof(value) = 'object');
create domain plinth_queue.outcome as text constraint outcome_known check (value in ('completed', 'expired', 'purged'));
comment on domain plinth_queue.queue_name is 'Name of a queue: 1 to 100 letters, digits, dots, dashes and underscores, the first a letter or digit.';
comment on domain plinth_queue.group_key is 'Messages of one group are delivered one after the other; 1 to 200 characters.';
comment on domain plinth_queue.deduplication_key is 'Of messages with one key only the first is written, within a window; 1 to 500 characters.';
comment on domain plinth_queue.headers is 'A JSON object beside the payload.';
comment on domain plinth_queue.outcome is 'completed (acknowledged), expired or purged.';

-- Where a message stands in its queue. Never cached: the order in which values are taken is what plinth_queue.advance_cursor reasons by.
create sequence plinth_queue.positions cache 1;
grant usage on sequence plinth_queue.positions to plinth_app, plinth_worker;

create table plinth_queue.queues (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  name plinth_queue.queue_name not null,
  visibility_ms integer not null default 30000 check (visibility_ms between 1 and 43200000),
  max_receives integer not null default 5 check (max_receives between 1 and 1000),
  retention_s integer not null default 345600 check (retention_s between 60 and 1209600),
  max_payload_bytes integer not null default 262144 check (max_payload_bytes between 1 and 1048576),
  deduplication_window_ms integer not null default 300000 check (deduplication_window_ms between 1000 and 86400000),
  fifo boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
comment on table plinth_queue.queues is 'Settings of the queues that somebody configured. A queue without a row has the defaults.';
comment on column plinth_queue.queues.fifo is 'True: every message must name a group.';

create table plinth_queue.messages (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  queue plinth_queue.queue_name not null,
  payload jsonb not null,
  headers plinth_queue.headers,
  group_key plinth_queue.group_key,
  deduplication_key plinth_queue.deduplication_key,
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp()
) partition by range (id);
create index messages_by_correlation on plinth_queue.messages (tenant_id, correlation_id);
-- Last: of a day that was never analyzed all indexes seem to cost the same, the youngest is taken, and each message that is received would be looked for
-- among all of its tenant.
alter table plinth_queue.messages add primary key (tenant_id, id);
comment on table plinth_queue.messages is 'What was sent: written once, never changed. Where a message stands is in ready, grouped, hidden, dead and done.';

create table plinth_queue.ready (
  tenant_id uuid not null,
  queue text not null,
  position bigint not null,
  id uuid not null,
  receives integer not null default 0,
  forgiven integer not null default 0,
  -- From when its retention counts, as the least id of that moment: the end of its last delay, or its redrive. Null: from when it was sent.
  since uuid,
  primary key (tenant_id, queue, position)
);
comment on table plinth_queue.ready is 'Messages that may be received, in the order of their queue. A receiver deletes the row. Written by functions only.';

create table plinth_queue.grouped (
  tenant_id uuid not null,
  queue text not null,
  group_no bigint not null,
  position bigint not null,
  id uuid not null,
  receives integer not null default 0,
  forgiven integer not null default 0,
  since uuid,
  primary key (tenant_id, queue, group_no, position)
);
comment on table plinth_queue.grouped is 'Messages with a group key that wait for their turn. Only the first of a group may be received, while none of its group is hidden.';

create table plinth_queue.hidden (
  tenant_id uuid not null,
  id uuid not null,
  queue text not null,
  visible_at timestamptz not null,
  receives integer not null default 0,
  -- Receives that do not count against max_receives: those before a redrive.
  forgiven integer not null default 0,
  -- True while the receipt of the last receive holds it; false when it was sent with a delay or released.
  held boolean not null default false,
  group_no bigint,
  error text,
  since uuid
);
create index hidden_by_time on plinth_queue.hidden (tenant_id, queue, visible_at);
-- Unique: while a message of a group is in flight or released, the group gives no other.
create unique index hidden_by_group on plinth_queue.hidden (tenant_id, queue, group_no) where group_no is not null;
alter table plinth_queue.hidden add primary key (tenant_id, id);
comment on table plinth_queue.hidden is 'Messages that nobody may receive before visible_at: in flight, delayed or released.';

create table plinth_queue.dead (
  tenant_id uuid not null,
  id uuid not null,
  queue text not null,
  group_no bigint,
  receives integer not null default 0,
  error text,
  dead_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
create index dead_by_queue on plinth_queue.dead (tenant_id, queue, id);
comment on table plinth_queue.dead is 'Dead letters: messages that were received max_receives times without being acknowledged, or rejected for good. They can be redriven.';

create table plinth_queue.done (
  tenant_id uuid not null,
  id uuid not null,
  outcome plinth_queue.outcome not null default 'completed',
  receives integer not null default 0,
  correlation_id uuid default plinth_kernel.correlation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);
comment on table plinth_queue.done is 'How messages ended: one narrow row each, by the day of the message. Append only.';

-- Uniqueness across the partitions of messages lives here.
create table plinth_queue.deduplication (
  tenant_id uuid not null,
  queue text not null,
  key plinth_queue.deduplication_key not null,
  message_id uuid not null,
  expires_at timestamptz not null,
  primary key (tenant_id, queue, key)
);
-- Without tenant_id first: keys whose window is over are swept across tenants.
create index deduplication_by_expiry on plinth_queue.deduplication (expires_at);
comment on table plinth_queue.deduplication is 'Deduplication keys and the message that each brought, until expires_at.';

create table plinth_queue.cursors (
  tenant_id uuid not null,
  queue text not null,
  -- No ready message of the queue stands before this position, and no hidden one is due before this moment.
  position bigint not null default 0,
  due_at timestamptz not null default '-infinity',
  -- Whoever took a position or a moment up to these is over once no transaction below seen_before runs. Never null: least() passes over
  -- nulls, and would move the cursor to whatever is first.
  seen_position bigint not null default 0,
  seen_at timestamptz not null default '-infinity',
  seen_before xid8,
  moved_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, queue)
) with (fillfactor = 50);
comment on table plinth_queue.cursors is 'From where on a receiver looks, so that it does not walk over index entries of messages that are gone. Moved about once a second.';

-- Narrow, and all inserts and deletes: clean them after a hundredth, not after a fifth.
alter table plinth_queue.ready set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
alter table plinth_queue.grouped set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
alter table plinth_queue.hidden set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);
