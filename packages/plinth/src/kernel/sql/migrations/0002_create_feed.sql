-- why: cursors by which consumers read a log without loss, by snapshot difference; and the epochs of such a log
-- locks: none, everything is new
-- breaking: no

-- Made here because tables of later migrations bind to it; functions/shard_of.sql is its home.
create or replace function plinth_kernel.shard_of(p_tenant_id uuid) returns smallint
language sql immutable strict parallel safe
return (uuid_hash_extended(p_tenant_id, 0) & 7)::smallint;

create table plinth_kernel.feed_epochs (
  feed text not null,
  epoch integer not null,
  -- Rows up to this position belong to older epochs.
  after_position bigint not null,
  -- Cluster in which the log is read. A dump that is restored elsewhere brings rows with the transaction ids of another cluster.
  system_identifier bigint not null,
  -- xmin of this row when it was written. pg_upgrade copies tables as they are and lets transaction ids go on: then xmin is still the same.
  written_by xid,
  started_at timestamptz not null default clock_timestamp(),
  primary key (feed, epoch)
);
comment on table plinth_kernel.feed_epochs is 'Spans of a log within which transaction ids can be compared. A new one begins when a dump was restored into another cluster. Only plinth_kernel.feed_epoch writes here: the xmin of a row tells how it arrived.';

create table plinth_kernel.feed_cursors (
  feed text not null,
  consumer text not null,
  shard smallint not null check (shard between 0 and 7),
  epoch integer not null,
  s1 pg_snapshot not null,
  s1_at timestamptz not null default clock_timestamp(),
  s2 pg_snapshot,
  last bigint not null default 0,
  handled bigint not null default 0,
  failures integer not null default 0,
  failed_to bigint,
  failing_since timestamptz,
  last_error text,
  retry_at timestamptz,
  aside boolean not null default false,
  lost integer not null default 0,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (feed, consumer, shard),
  constraint between_batches_nothing_is_half_read check (s2 is not null or last = 0)
) with (fillfactor = 50);
comment on table plinth_kernel.feed_cursors is 'How far a consumer has read a shard of a log: everything visible in s1, and what s2 adds to it up to position last. The lock on a row is the membership of its consumer group.';
comment on column plinth_kernel.feed_cursors.failed_to is 'How far the batch that failed reached: until there one event at a time is read.';
comment on column plinth_kernel.feed_cursors.failing_since is 'When the first of the tries in a row failed, with last_error. Without failures nobody was to blame: what the handler needs could not be reached.';
comment on column plinth_kernel.feed_cursors.retry_at is 'After a failure: not read again before this moment.';
comment on column plinth_kernel.feed_cursors.lost is 'How many processes in a row ended while they handled what is next.';
comment on column plinth_kernel.feed_cursors.aside is 'Events of the shard may have been put aside that later ones of their tenants must not overtake.';
