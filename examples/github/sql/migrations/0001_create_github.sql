-- why: business tables for what GitHub's webhooks tell of
-- locks: none, everything is new
-- breaking: no
create table plinth_github.deliveries (
  tenant_id uuid not null references plinth_kernel.tenants,
  id uuid not null,
  type text not null,
  kind text not null,
  entity_id text not null,
  summary text,
  summarised integer not null default 0,
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);
create index deliveries_by_correlation on plinth_github.deliveries (tenant_id, correlation_id);
comment on table plinth_github.deliveries is 'Payloads that came in; summarised counts how often the job took effect, which must be once.';

create table plinth_github.repositories (tenant_id uuid not null references plinth_kernel.tenants, id text not null, title text, state text, payloads integer not null default 1, updated_at timestamptz not null default clock_timestamp(), primary key (tenant_id, id));
comment on table plinth_github.repositories is 'Repositories, as the last payload showed them.';
create table plinth_github.issues (like plinth_github.repositories including all, foreign key (tenant_id) references plinth_kernel.tenants);
comment on table plinth_github.issues is 'Issues, as the last payload showed them.';
create table plinth_github.pull_requests (like plinth_github.repositories including all, foreign key (tenant_id) references plinth_kernel.tenants);
comment on table plinth_github.pull_requests is 'Pull requests, as the last payload showed them.';
create table plinth_github.others (like plinth_github.repositories including all, foreign key (tenant_id) references plinth_kernel.tenants);
comment on table plinth_github.others is 'Everything else: members, teams, packages, ...';
