create or replace view plinth.members with (security_invoker = true) as
select u.tenant_id, u.id, u.email, u.name, u.roles, u.locale, u.time_zone, u.attributes, u.status, u.created_at, u.updated_at
from plinth_access.users as u;
comment on view plinth.members is 'The same as plinth.users, under the other name that applications use for it.';
