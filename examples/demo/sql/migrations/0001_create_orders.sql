-- why: the business table of the demo
-- locks: none, everything is new
-- breaking: no
create table plinth_demo.orders (
  tenant_id uuid not null references plinth_kernel.tenants,
  id uuid not null default plinth_kernel.uuid_v7(),
  number text not null,
  customer text not null,
  total_cents bigint not null,
  currency text not null,
  status text not null default 'placed' check (status in ('placed', 'shipped')),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
create index orders_by_correlation on plinth_demo.orders (tenant_id, correlation_id);
comment on table plinth_demo.orders is 'Orders of the demo shop.';
