-- why: how each subscription is served (lanes: breaker, pauses, windows, throttles), and what is under way (flights)
-- locks: none, everything is new
-- breaking: no

-- One row a subscription. A healthy lane without a throttle is never written.
create table plinth_webhooks.lanes (
  tenant_id uuid not null,
  subscription_id uuid not null,
  breaker text not null default 'closed' check (breaker in ('closed', 'open', 'half_open')),
  failure_count integer not null default 0 check (failure_count >= 0),
  failing_since timestamptz,
  -- Failures of the receiver as a moving share of attempts, the last ten or so.
  failure_share double precision not null default 0,
  trips integer not null default 0,
  next_at timestamptz,
  window_size integer check (window_size >= 1),
  window_done integer not null default 0,
  tokens double precision,
  refilled_at timestamptz,
  -- What the receiver takes, as its answers 429 told (lane_rate).
  rate double precision check (rate > 0),
  rate_ceiling double precision,
  rate_done integer not null default 0,
  limited_at timestamptz,
  pause_seconds smallint not null default 0,
  warned smallint not null default 0,
  told smallint not null default 0,
  troubled boolean generated always as (failing_since is not null or window_size is not null or breaker <> 'closed' or failure_share > 0 or rate is not null or pause_seconds > 0) stored,
  primary key (tenant_id, subscription_id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
) with (fillfactor = 50);
create index lanes_to_tell on plinth_webhooks.lanes (tenant_id, subscription_id) where warned <> told;
comment on table plinth_webhooks.lanes is 'The state of the way to each subscription. Written by failures, recoveries, probes and throttles only.';
comment on column plinth_webhooks.lanes.failure_count is 'Attempts that failed in a row, over all deliveries.';
comment on column plinth_webhooks.lanes.trips is 'How often the breaker opened without closing in between: each time it waits longer.';
comment on column plinth_webhooks.lanes.next_at is 'Nothing is taken before: an open breaker waits for its probe, or the receiver asked for a pause.';
comment on column plinth_webhooks.lanes.window_size is 'Attempts at a time while the receiver recovers; null: max_in_flight of the subscription.';
comment on column plinth_webhooks.lanes.rate is 'Attempts a second that the receiver was trusted with at limited_at; null: it never answered 429, or long ago. rate_ceiling is where it did.';
comment on column plinth_webhooks.lanes.rate_done is 'Delivered since limited_at.';
comment on column plinth_webhooks.lanes.pause_seconds is 'The last pause after a 429 or 503 that asked for none; doubled by the next one, 0 after a success.';
comment on column plinth_webhooks.lanes.warned is 'Highest stage of the present failing spell: 50, 70, 90 percent of the way to being disabled, 100 disabled; told is what the tenant was told of.';

-- Leases of attempts under way. Not logged: after a crash of the database nothing is under way, and what was is sent again.
create unlogged table plinth_webhooks.flights (
  tenant_id uuid not null,
  subscription_id uuid not null,
  delivery_id uuid not null,
  lease_id uuid not null default gen_random_uuid(),
  holder uuid,
  attempt integer not null default 1,
  probe boolean not null default false,
  lease_until timestamptz not null,
  -- Of the body, so that what a dispatcher holds in memory is bounded.
  bytes integer not null default 0,
  primary key (tenant_id, subscription_id, delivery_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table plinth_webhooks.flights is 'Deliveries that a dispatcher is sending now. lease_id is the fence that settle asks for.';

-- Limits of a tenant and of the installation both hold. The nil tenant stands for every tenant for which the installation has no other.
create table plinth_webhooks.tenant_limits (
  tenant_id uuid not null,
  source text not null check (source in ('installation', 'tenant')),
  -- Not less: a claim multiplies it with the time since the last one, and what underflows raises, for every tenant.
  rate_per_second double precision check (rate_per_second between 0.001 and 100000),
  max_in_flight integer check (max_in_flight between 1 and 100000),
  set_by text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, source),
  constraint limits_something check (rate_per_second is not null or max_in_flight is not null)
);
comment on table plinth_webhooks.tenant_limits is 'Throttles over all subscriptions of a tenant, set by it or by an operator; no row, no limit.';

-- Apart from the limits, which a tenant's transaction may hold: only claims write here.
create table plinth_webhooks.tenant_buckets (
  tenant_id uuid primary key,
  tokens double precision not null,
  refilled_at timestamptz not null
) with (fillfactor = 50);
comment on table plinth_webhooks.tenant_buckets is 'Attempts that the rate of a tenant left over at its last claim.';

-- Only claims write here, like tenant_buckets.
create table plinth_webhooks.claim_turns (
  tenant_id uuid primary key,
  after uuid not null
) with (fillfactor = 50);
comment on table plinth_webhooks.claim_turns is 'Tenants with more subscriptions that have something waiting than a claim looks at, and behind which one the next claim goes on.';

-- Keys of ordered lanes whose first delivery could not be made due at once, because somebody held the lane. By key and not by lane: a lane may have a hundred
-- thousand keys, and who looks holds the lock of all claims.
create table plinth_webhooks.held_back (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subscription_id uuid not null,
  -- Null: all of them, because their order was changed (order_late).
  lane_key text,
  -- Transactions from there on have seen that change; null: nobody has looked yet.
  until xid8,
  primary key (tenant_id, subscription_id, id)
);
create index held_back_late on plinth_webhooks.held_back (tenant_id, subscription_id) where lane_key is null;
comment on table plinth_webhooks.held_back is 'Keys of ordered lanes at which one of the next claims has to look for a first delivery that nobody made due.';
