-- why: a subscription that is not sent to but read: its messages are numbered and kept
-- locks: a short exclusive lock on subscriptions; the new column needs no rewrite
-- breaking: no; an older process shows no subscription that is pulled

alter table plinth_webhooks.subscriptions
  add column mode text not null default 'push' constraint mode_known check (mode in ('push', 'pull')),
  alter column url drop not null,
  add constraint pushed_has_url check ((mode = 'push') = (url is not null)),
  add constraint pulled_is_ordered check (mode = 'push' or ordering = 'fifo');
comment on column plinth_webhooks.subscriptions.mode is 'push: sent to the URL. pull: kept, to be read over HTTP in order.';
create index subscriptions_pulled on plinth_webhooks.subscriptions (tenant_id, id) where mode = 'pull';

-- Apart from lanes, so that whoever changes a subscription in a long transaction does not keep its readers waiting.
create table plinth_webhooks.pull_lanes (
  tenant_id uuid not null,
  subscription_id uuid not null,
  tail bigint not null default 0 check (tail >= 0),
  read_to bigint,
  read_at timestamptz,
  primary key (tenant_id, subscription_id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
) with (fillfactor = 50);
comment on table plinth_webhooks.pull_lanes is 'How far the messages of a pulled subscription go, and how far they were read.';
comment on column plinth_webhooks.pull_lanes.tail is 'Position of the last message. Whoever appends holds the row until COMMIT, so positions become visible in their order.';
comment on column plinth_webhooks.pull_lanes.read_to is 'Highest offset that somebody went on from, noted at most every ten seconds.';

create table plinth_webhooks.pulled_messages (
  tenant_id uuid not null,
  subscription_id uuid not null,
  -- 1, 2, 3, ... without gaps: a reader whose next one is missing knows that retention was faster.
  position bigint not null check (position > 0),
  -- The webhook-id that a push would have.
  delivery_id uuid not null,
  event_id uuid,
  event_type text not null,
  body text not null,
  correlation_id uuid,
  causation_id uuid,
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, subscription_id, position),
  -- Not to the subscription, which a tenant's open transaction may hold: whoever appends holds this row already.
  foreign key (tenant_id, subscription_id) references plinth_webhooks.pull_lanes on delete cascade
);
create index pulled_messages_by_age on plinth_webhooks.pulled_messages (created_at);
create index pulled_messages_by_correlation on plinth_webhooks.pulled_messages (tenant_id, correlation_id, position);
comment on table plinth_webhooks.pulled_messages is 'What pulled subscriptions are to be read: the bodies that a push would send, in the order of the feed by key. Append only.';
