-- why: who wants which events (subscriptions and their keys), what is still to be sent (deliveries) and what was sent (attempts, by month)
-- locks: none, everything is new
-- breaking: no

create table plinth_webhooks.subscriptions (
  tenant_id uuid not null references plinth_kernel.tenants,
  id uuid not null default plinth_kernel.uuid_v7(),
  name text not null,
  url text not null,
  patterns text[] not null,
  enabled boolean not null default true,
  description text,
  -- What its lane keeps to (set_delivery_policy).
  ordering text not null default 'parallel' check (ordering in ('parallel', 'fifo', 'fifo_by_key')),
  order_key text check (length(order_key) <= 500),
  poison text not null default 'skip' check (poison in ('skip', 'block')),
  retry_schedule text not null default 'standard' check (retry_schedule in ('standard', 'short', 'long', 'none', 'custom')),
  retry_seconds integer[],
  max_in_flight integer not null default 10 check (max_in_flight between 1 and 1000),
  -- Not less: a claim multiplies it with the time since the last one, and what underflows raises, for every tenant.
  rate_per_second double precision check (rate_per_second between 0.001 and 100000),
  disable_after_failures integer not null default 20 check (disable_after_failures between 1 and 1000000),
  disable_after interval not null default interval '5 days' check (disable_after between interval '0' and interval '365 days'),
  disabled_at timestamptz,
  disabled_reason text,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  unique (tenant_id, name),
  constraint name_length check (length(name) between 1 and 200),
  constraint url_form check (length(url) <= 2000 and url ~* '^https?://[^\s/?#@]+([/?#]\S*)?$'),
  constraint patterns_count check (cardinality(patterns) between 1 and 50),
  constraint description_length check (length(description) <= 2000),
  constraint disabled_is_told check (enabled = (disabled_at is null))
) with (fillfactor = 80);
create index subscriptions_ordered on plinth_webhooks.subscriptions (tenant_id, id) where ordering <> 'parallel';
-- Primary keys of tables that begin empty come last: while nothing is known of a table all its indexes seem to cost the same, the youngest is taken,
-- and a dispatcher that started before the first delivery would go through all rows of a tenant for each lookup until the next ANALYZE.
alter table plinth_webhooks.subscriptions add primary key (tenant_id, id);
comment on table plinth_webhooks.subscriptions is 'Which events of a tenant go to which URL. Secrets are elsewhere, where no tenant role can read.';
comment on column plinth_webhooks.subscriptions.order_key is 'Plain path into the payload ($.customer.id) that gives the key of fifo_by_key; null: the stream of the event.';
comment on column plinth_webhooks.subscriptions.poison is 'What an ordered lane does when the schedule of its first delivery is over: skip it, or stop there (block).';
comment on column plinth_webhooks.subscriptions.disable_after is 'Disabled when it has failed without a success for this long and at least disable_after_failures times.';

-- One row a pattern: a pattern is looked up as a literal key, so that matching costs the matches, not the subscriptions.
create table plinth_webhooks.subscription_keys (
  tenant_id uuid not null,
  key text not null,
  subscription_id uuid not null,
  primary key (tenant_id, key, subscription_id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
);
create index subscription_keys_by_subscription on plinth_webhooks.subscription_keys (tenant_id, subscription_id);
comment on table plinth_webhooks.subscription_keys is 'The patterns of subscriptions as keys. An event type is looked up by every key that could match it (match_keys).';

-- Append only, and no role of a tenant or of an operator may read it: a secret leaves the database only towards the dispatcher.
create table plinth_webhooks.secrets (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subscription_id uuid not null,
  secret text not null check (secret ~ '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$'),
  overlap interval not null default interval '0' check (overlap between interval '0' and interval '7 days'),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
);
create index secrets_by_subscription on plinth_webhooks.secrets (tenant_id, subscription_id, id);
comment on table plinth_webhooks.secrets is 'Signing secrets. The newest of a subscription signs; one before signs too until the overlap of one of its successors has passed.';
comment on column plinth_webhooks.secrets.overlap is 'How long the secrets before this one stay valid at most after this one was made.';

create table plinth_webhooks.deliveries (
  tenant_id uuid not null,
  -- Also the webhook-id that the receiver sees, on every attempt. Made from event and subscription (delivery_id), so that a replay has it again.
  id uuid not null default plinth_kernel.uuid_v7(),
  -- No foreign key: it would make the fan-out of all tenants wait for whoever is deleting a subscription. See sweep_deliveries.
  subscription_id uuid not null,
  event_id uuid,
  event_type text not null,
  -- The exact bytes that are signed and sent, the same on every attempt.
  body text not null,
  status text not null default 'pending' check (status in ('pending', 'blocked', 'failed')),
  -- Every attempt that was written down; step is the place in the retry schedule, which a probe of an open breaker does not move.
  attempts integer not null default 0 check (attempts >= 0),
  step integer not null default 0,
  -- Null until the first failure; afterwards no attempt that fails is followed by another.
  give_up_at timestamptz,
  -- When it may be taken next; infinity while nobody should. Claiming does not touch the row: see flights.
  due_at timestamptz not null default clock_timestamp(),
  -- Order of the lane. Its sequence must not be cached: a session that keeps numbers back would number a lane out of order.
  seq bigint generated by default as identity (cache 1),
  -- Null in parallel lanes. Of the deliveries of a lane with one key only the first has a due_at before infinity.
  lane_key text,
  replay_id uuid,
  last_error text,
  last_response_code integer,
  finished_at timestamptz,
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  constraint failed_is_finished check ((status = 'failed') = (finished_at is not null)),
  constraint only_pending_is_due check (status = 'pending' or due_at = 'infinity')
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
create index deliveries_due on plinth_webhooks.deliveries (tenant_id, subscription_id, due_at) where due_at < 'infinity';
create index deliveries_in_order on plinth_webhooks.deliveries (tenant_id, subscription_id, lane_key, seq) where lane_key is not null and status <> 'failed';
-- plinth_webhooks.revive gives those that it sends again their places in the order of their events.
grant usage on sequence plinth_webhooks.deliveries_seq_seq to plinth_app, plinth_worker;
create index deliveries_by_subscription on plinth_webhooks.deliveries (tenant_id, subscription_id, id);
create index deliveries_given_up on plinth_webhooks.deliveries (tenant_id, id) where status = 'failed';
create index deliveries_by_correlation on plinth_webhooks.deliveries (tenant_id, correlation_id, id);
alter table plinth_webhooks.deliveries add primary key (tenant_id, id);
comment on table plinth_webhooks.deliveries is 'What is still to be sent: a row leaves when it was delivered, and stays as failed when it was given up; blocked: given up, and what is behind it in an ordered lane waits for a person.';

create table plinth_webhooks.attempts (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  delivery_id uuid not null,
  subscription_id uuid not null,
  event_id uuid,
  event_type text not null,
  attempt integer not null check (attempt >= 1),
  status text not null check (status in ('delivered', 'failed')),
  attempted_at timestamptz not null default clock_timestamp(),
  url text not null,
  response_code integer,
  response_time_ms integer,
  error_code text,
  error_message text,
  request_headers jsonb,
  request_body text,
  response_headers jsonb,
  response_body text,
  timings jsonb,
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);
create index attempts_by_subscription on plinth_webhooks.attempts (tenant_id, subscription_id, id);
create index attempts_by_delivery on plinth_webhooks.attempts (tenant_id, delivery_id, id);
create index attempts_by_correlation on plinth_webhooks.attempts (tenant_id, correlation_id, id);
comment on table plinth_webhooks.attempts is 'One row for each attempt to deliver, with what was asked and answered. Append only: old rows leave with their partition.';
comment on column plinth_webhooks.attempts.request_body is 'The beginning of the body, at most 16 KiB.';
comment on column plinth_webhooks.attempts.response_body is 'The beginning of the answer, at most 4 KiB, as text.';
