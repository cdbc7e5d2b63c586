create or replace function plinth_kernel.acting_tenant() returns uuid
language sql stable security invoker set search_path = ''
return case when not plinth_kernel.is_worker() then plinth_kernel.require_own_tenant() end;
comment on function plinth_kernel.acting_tenant() is 'The tenant that the acting role is confined to; null for workers, who serve all.';
