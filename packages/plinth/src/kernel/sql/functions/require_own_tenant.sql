-- The nil tenant stands for all of them: what is set for it holds for every one that has not said otherwise. The login counts and not the role, because servers
-- write for the installation as plinth_app, and could be plinth_worker.
create or replace function plinth_kernel.require_own_tenant() returns uuid
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _tenant constant uuid := plinth_kernel.require_tenant();
begin
  if _tenant = '00000000-0000-0000-0000-000000000000' and not pg_catalog.pg_has_role(session_user, 'plinth_worker', 'member') then
    raise exception 'Tenant % stands for the whole installation', _tenant using errcode = 'PL403', detail = '{"code":"kernel_forbidden"}',
      hint = 'Name a tenant; what holds for all of them is set by an operator, or by a login that is a member of plinth_worker.';
  end if;
  return _tenant;
end
$$;
comment on function plinth_kernel.require_own_tenant() is
  'Tenant of the transaction for what changes how it is served. Errors: kernel_tenant_required; kernel_forbidden when that is the whole installation and the login is no member of plinth_worker.';
