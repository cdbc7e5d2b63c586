-- One row a kind for the tenant of the transaction; without a tenant (workers, operators) one for the installation and one for each tenant that
-- differs. The id (uuid v8) is made from tenant and kind, so that it stays the same whether there is a stored row or not.
create or replace view plinth.retention_policies with (security_invoker = true) as
select overlay(overlay(md5(s.tenant_id::text || k.kind) placing '8' from 13) placing 'a' from 17)::uuid as id, s.tenant_id, k.kind, k.method,
  plinth_kernel.retention_keep(k.kind, s.tenant_id) as keep,
  (extract(epoch from plinth_kernel.retention_keep(k.kind, s.tenant_id)) / 86400)::integer as retention_days,
  plinth_kernel.retention_archives(k.kind) as archive,
  case when own.kind is not null and s.tenant_id <> '00000000-0000-0000-0000-000000000000' then 'tenant' when whole.kind is not null then 'installation' else 'module' end as source,
  coalesce(own.reason, whole.reason) as reason, coalesce(own.set_by, whole.set_by) as set_by, coalesce(own.updated_at, whole.updated_at) as updated_at
from plinth_kernel.retention_kinds as k
cross join lateral (
  select coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id
  union
  select p.tenant_id from plinth_kernel.retention_policies as p where p.kind = k.kind and plinth_kernel.tenant_id() is null) as s
left join plinth_kernel.retention_policies as own on own.kind = k.kind and own.tenant_id = s.tenant_id
left join plinth_kernel.retention_policies as whole on whole.kind = k.kind and whole.tenant_id = '00000000-0000-0000-0000-000000000000';
comment on view plinth.retention_policies is
  'How long each kind of record is kept for the tenant of the transaction, and who says so: module, installation or tenant. keep null: forever. Change it with plinth.set_retention_policy.';
