-- why: what is to be sent again, worked off in batches
-- locks: none, everything is new
-- breaking: no

create table plinth_webhooks.replays (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subscription_id uuid not null,
  only_failed boolean not null,
  patterns text[],
  event_ids uuid[],
  filter jsonb,
  filter_path jsonpath,
  since timestamptz,
  until timestamptz not null,
  rate_per_second double precision check (rate_per_second between 0.1 and 100000),
  status text not null default 'running' check (status in ('running', 'done', 'cancelled', 'failed')),
  total integer not null,
  added integer not null default 0,
  -- Of a type that is wanted, but the filter does not let it through, or it waits anyway.
  left_out integer not null default 0,
  -- Events (deliveries, of a replay of what failed) up to this id have been looked at.
  done_to uuid not null,
  -- Up to when its rate has been used; looked_at is when it had its turn, whatever came of it.
  worked_at timestamptz,
  looked_at timestamptz,
  last_error text,
  finished_at timestamptz,
  created_by text not null,
  reason text,
  correlation_id uuid default plinth_kernel.correlation_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
);
create index replays_running on plinth_webhooks.replays (tenant_id, id) where status = 'running';
create index replays_by_subscription on plinth_webhooks.replays (tenant_id, subscription_id);
comment on table plinth_webhooks.replays is 'What is to be sent again to a subscription, and how far that has come.';
