-- why: who may call: members of tenants, their roles, API keys of tenants and of operators, what operators looked at, one-time console links
-- locks: none, everything is new
-- breaking: no

create table plinth_access.users (
  tenant_id uuid not null references plinth_kernel.tenants (id),
  id text not null default plinth_kernel.uuid_v7()::text check (length(id) between 1 and 200),
  email text check (length(email) between 3 and 320 and position('@' in email) > 1),
  name text check (length(name) between 1 and 200),
  roles text[] not null default '{}' check (cardinality(roles) <= 50),
  locale text check (length(locale) between 2 and 35),
  time_zone text check (length(time_zone) between 1 and 64),
  attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
  status text not null default 'active' check (status in ('active', 'invited', 'suspended')),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
create unique index users_by_email on plinth_access.users (tenant_id, lower(email));
comment on table plinth_access.users is 'Members of a tenant. Ids are the application''s own text ids.';

create table plinth_access.roles (
  tenant_id uuid not null references plinth_kernel.tenants (id),
  name text not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$' and name not in ('owner', 'admin', 'member', 'viewer', 'support')),
  description text not null default '' check (length(description) <= 500),
  permissions text[] not null check (cardinality(permissions) between 1 and 200),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, name)
);
comment on table plinth_access.roles is 'Roles that a tenant defined itself, beside the built-in owner, admin, member, viewer and support.';

create table plinth_access.api_keys (
  tenant_id uuid not null references plinth_kernel.tenants (id),
  id uuid not null default plinth_kernel.uuid_v7(),
  name text not null check (length(name) between 1 and 200),
  prefix text not null check (length(prefix) between 4 and 32),
  last4 text not null check (length(last4) = 4),
  hash bytea not null check (octet_length(hash) = 32),
  scopes text[] not null check (cardinality(scopes) between 1 and 200),
  expires_at timestamptz,
  -- How long it was made to live, null for ever; rotating it brings expires_at forward, and its successors live as long as it was to.
  life interval,
  rotated_from uuid,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_by text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
-- Not led by tenant_id: a request knows its key before it knows its tenant. Not unique either, so it tells no tenant about another.
create index api_keys_by_hash on plinth_access.api_keys (hash);
comment on table plinth_access.api_keys is 'API keys of tenants. Only the SHA-256 of a key is stored.';

create table plinth_access.operator_keys (
  id uuid not null primary key default plinth_kernel.uuid_v7(),
  name text not null check (length(name) between 1 and 200),
  prefix text not null check (length(prefix) between 4 and 32),
  last4 text not null check (length(last4) = 4),
  hash bytea not null unique check (octet_length(hash) = 32),
  scopes text[] not null check (cardinality(scopes) between 1 and 200),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_by text not null default coalesce(plinth_kernel.setting('actor_id'), current_user),
  created_at timestamptz not null default clock_timestamp()
);
comment on table plinth_access.operator_keys is 'API keys of the team that runs Plinth: they belong to no tenant. Only the SHA-256 of a key is stored.';

create table plinth_access.operator_access (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  operator_id text not null,
  reason text not null check (length(reason) between 1 and 500),
  ip text default plinth_kernel.setting('ip'),
  request_id text default plinth_kernel.setting('request_id'),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);
create index operator_access_by_operator on plinth_access.operator_access (tenant_id, operator_id, id);
comment on table plinth_access.operator_access is
  'Which operator entered which tenant, and why. Tenant 00000000-0000-0000-0000-000000000000 stands for reads across all tenants.';

create table plinth_access.login_links (
  hash bytea not null primary key check (octet_length(hash) = 32),
  operator_key_id uuid not null references plinth_access.operator_keys (id),
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  used_at timestamptz
);
comment on table plinth_access.login_links is 'One-time links into the console. Only the SHA-256 of a token is stored.';
