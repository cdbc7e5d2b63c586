create or replace view plinth.users with (security_invoker = true) as
select u.tenant_id, u.id, u.email, u.name, u.roles, u.locale, u.time_zone, u.attributes, u.status, u.created_at, u.updated_at
from plinth_access.users as u;
comment on view plinth.users is 'Members of the tenant of the transaction.';
