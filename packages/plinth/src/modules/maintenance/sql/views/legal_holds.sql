create or replace view plinth.legal_holds with (security_invoker = true) as
select h.id, h.tenant_id, case when h.released_at is null then 'open' else 'released' end as status, h.kind, h.entity, h.reason, h.placed_by, h.placed_at,
  h.released_at, h.released_by, h.release_reason
from plinth_kernel.retention_holds as h
where plinth_kernel.tenant_id() is null or h.tenant_id = plinth_kernel.tenant_id();
comment on view plinth.legal_holds is 'Legal holds of the tenant of the transaction. While one is open, no row that it covers is removed.';
