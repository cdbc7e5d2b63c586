create or replace function plinth_kernel.require_tenant() returns uuid
language plpgsql stable parallel safe
as $$
declare
  _tenant_id pg_catalog.uuid := nullif(pg_catalog.current_setting('plinth.tenant_id', true), '');
begin
  if _tenant_id is null then
    raise exception 'no tenant is set for this transaction' using errcode = 'PL400', detail = '{"code":"kernel_tenant_required"}',
      hint = 'Pass tenantId to plinth.transaction, or run: set local plinth.tenant_id = ''<uuid>''.';
  end if;
  return _tenant_id;
end
$$;
comment on function plinth_kernel.require_tenant() is 'Tenant of the transaction. Error kernel_tenant_required when none is set.';
