create or replace view plinth.roles with (security_invoker = true) as
select r.tenant_id, r.name, r.description, r.permissions, r.created_at, r.updated_at
from plinth_access.roles as r;
comment on view plinth.roles is 'Roles that the tenant of the transaction defined itself.';
