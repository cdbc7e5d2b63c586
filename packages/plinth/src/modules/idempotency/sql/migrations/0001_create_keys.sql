-- why: answers of calls that must not be done twice; a plain table, because a key must stay unique across any time bound
-- locks: none, everything is new
-- breaking: no

create table plinth_idempotency.keys (
  tenant_id uuid not null,
  scope text not null check (length(scope) between 1 and 300),
  key text not null check (length(key) between 1 and 255),
  id uuid not null default plinth_kernel.uuid_v7(),
  request_hash text check (length(request_hash) <= 128),
  state text not null default 'started' check (state in ('started', 'done')),
  entity_type text check (length(entity_type) <= 200),
  entity_id text check (length(entity_id) <= 500),
  response_status integer check (response_status between 100 and 599),
  response_body jsonb,
  locked_until timestamptz,
  correlation_id uuid default plinth_kernel.correlation_id(),
  created_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  expires_at timestamptz not null,
  primary key (tenant_id, scope, key),
  unique (tenant_id, id)
);
create index keys_by_expiry on plinth_idempotency.keys (tenant_id, expires_at);
create index keys_by_entity on plinth_idempotency.keys (tenant_id, entity_type, entity_id);
comment on table plinth_idempotency.keys is
  'Calls that were made under an idempotency key, with their answers. Tenant 00000000-0000-0000-0000-000000000000 holds those of operators outside any tenant.';
