-- The role that acts, also inside a function that runs with its owner's rights: SET ROLE is what counts there, not current_user.
create or replace function plinth_kernel.is_worker() returns boolean
language sql stable security invoker set search_path = ''
return pg_catalog.pg_has_role(coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user::text), 'plinth_worker', 'usage')
  or pg_catalog.current_setting('role') = 'plinth_owner';
comment on function plinth_kernel.is_worker() is 'Whether the acting role serves all tenants; others are confined to that of their transaction. What functions with definer rights ask first.';
