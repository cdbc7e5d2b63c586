-- why: links into the customer portal can be taken back
-- locks: none, everything is new
-- breaking: no

create table plinth_webhooks.portal_access (
  tenant_id uuid primary key references plinth_kernel.tenants,
  generation integer not null default 1 check (generation > 0),
  revoked_at timestamptz
);
comment on table plinth_webhooks.portal_access is 'Links into the portal that are of another generation than this are void; no row, the first one.';
