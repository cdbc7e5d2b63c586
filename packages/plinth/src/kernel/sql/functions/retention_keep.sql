-- The tenant's own policy, else the installation's (nil tenant), else the card's. Null: forever.
create or replace function plinth_kernel.retention_keep(p_kind text, p_tenant_id uuid) returns interval
language sql stable set search_path = ''
as $$
  select case when own.kind is not null then own.keep when whole.kind is not null then whole.keep else k.keep end
  from plinth_kernel.retention_kinds as k
  left join plinth_kernel.retention_policies as own on own.kind = k.kind and own.tenant_id = p_tenant_id
  left join plinth_kernel.retention_policies as whole on whole.kind = k.kind and whole.tenant_id = '00000000-0000-0000-0000-000000000000'
  where k.kind = p_kind
$$;
comment on function plinth_kernel.retention_keep(text, uuid) is 'How long a tenant''s rows of a kind are kept (nil tenant: everybody without a policy of their own); null is forever.';
