-- why: filters and transforms of subscriptions, signatures by key pairs and by the forms of other providers, and messages that come in
-- locks: a short exclusive lock on subscriptions and secrets; the new columns need no rewrite
-- breaking: no; an older dispatcher signs v1

alter table plinth_webhooks.subscriptions
  add column signing text not null default 'v1' constraint signing_known check (signing in ('v1', 'v1a', 'both', 'stripe', 'github', 'slack')),
  add column filter jsonb,
  -- The filter as one predicate: what the fan-out evaluates.
  add column filter_path jsonpath,
  add column transform jsonb,
  add column transform_version integer not null default 0,
  add constraint filter_is_compiled check ((filter is null) = (filter_path is null));
comment on column plinth_webhooks.subscriptions.signing is 'v1 (HMAC), v1a (ed25519) or both of Standard Webhooks, or the header of stripe, github or slack.';

-- A secret of another provider's form is any text; plinth_webhooks.add_secret checks which form is due.
alter table plinth_webhooks.secrets drop constraint secrets_secret_check;
alter table plinth_webhooks.secrets add constraint secret_form check (secret ~ '^[!-~]{16,200}$');

-- What every transform of a subscription was, so that a body of the past can be explained.
create table plinth_webhooks.transforms (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subscription_id uuid not null,
  version integer not null check (version >= 1),
  transform jsonb,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, subscription_id, version),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
);
comment on table plinth_webhooks.transforms is 'Versions of the transforms of subscriptions. Append only.';
comment on column plinth_webhooks.transforms.transform is 'Null: bodies went out unchanged from this version on.';

-- 32 random bytes are an ed25519 private key. SQL can make them, but not the public half: the worker derives that (public_keys).
create table plinth_webhooks.signing_keys (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  subscription_id uuid not null,
  seed bytea not null check (octet_length(seed) = 32),
  overlap interval not null default interval '0' check (overlap between interval '0' and interval '7 days'),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  foreign key (tenant_id, subscription_id) references plinth_webhooks.subscriptions on delete cascade
);
create index signing_keys_by_subscription on plinth_webhooks.signing_keys (tenant_id, subscription_id, id);
comment on table plinth_webhooks.signing_keys is 'Private ed25519 keys, readable by the worker alone. The newest of a subscription signs; one before signs too until the overlap of one of its successors has passed.';
comment on column plinth_webhooks.signing_keys.overlap is 'How long the keys before this one stay valid at most after this one was made.';

create table plinth_webhooks.public_keys (
  tenant_id uuid not null,
  -- That of the private key.
  id uuid not null,
  subscription_id uuid not null,
  public_key text check (public_key ~ '^whpk_[A-Za-z0-9+/]{43}=$'),
  -- Thumbprint of the key (RFC 7638): its kid in the JWK set.
  key_id text,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  foreign key (tenant_id, id) references plinth_webhooks.signing_keys on delete cascade,
  constraint derived_together check ((public_key is null) = (key_id is null))
);
create index public_keys_by_subscription on plinth_webhooks.public_keys (tenant_id, subscription_id, id);
-- Not by tenant: the worker looks for what is still to be derived over all of them.
create index public_keys_to_derive on plinth_webhooks.public_keys (id) where public_key is null;
comment on table plinth_webhooks.public_keys is 'Public halves of signing keys, which everybody may know. public_key is null until it was derived, within seconds.';

create table plinth_webhooks.inbound_sources (
  tenant_id uuid not null references plinth_kernel.tenants,
  -- Part of the URL that the provider calls.
  id uuid not null default plinth_kernel.uuid_v7(),
  name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,49}$'),
  profile text not null check (profile in ('standard', 'stripe', 'github', 'slack', 'generic')),
  -- Of the profile generic: { header, encoding, prefix, id_header }.
  options jsonb not null default '{}' check (jsonb_typeof(options) = 'object'),
  tolerance interval not null default interval '5 minutes' check (tolerance between interval '10 seconds' and interval '1 hour'),
  enabled boolean not null default true,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  unique (tenant_id, name)
);
-- The URL names no tenant: the id alone finds the source.
create index inbound_sources_by_id on plinth_webhooks.inbound_sources (id);
comment on table plinth_webhooks.inbound_sources is 'Providers whose webhooks a tenant receives at POST /api/v1/webhooks/inbound/{id}. Secrets are elsewhere.';

create table plinth_webhooks.inbound_secrets (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  source_id uuid not null,
  secret text not null check (length(secret) between 8 and 500),
  overlap interval not null default interval '0' check (overlap between interval '0' and interval '30 days'),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id),
  foreign key (tenant_id, source_id) references plinth_webhooks.inbound_sources on delete cascade
);
create index inbound_secrets_by_source on plinth_webhooks.inbound_secrets (tenant_id, source_id, id);
comment on table plinth_webhooks.inbound_secrets is 'Secrets of inbound sources, readable by the worker alone. The newest counts; one before counts too until the overlap of one of its successors has passed.';

create table plinth_webhooks.inbound_messages (
  tenant_id uuid not null,
  source text not null check (length(source) between 1 and 200),
  message_id text not null check (length(message_id) between 1 and 200),
  received_at timestamptz not null default clock_timestamp(),
  correlation_id uuid default plinth_kernel.correlation_id(),
  primary key (tenant_id, source, message_id)
);
create index inbound_messages_by_age on plinth_webhooks.inbound_messages (received_at);
comment on table plinth_webhooks.inbound_messages is 'Ids of messages that were taken, so that a repetition is known for one. Written in the transaction of what the message caused.';
