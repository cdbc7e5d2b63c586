-- A loose index scan: one descent of the primary key a tenant, not one read a row.
create or replace function plinth_kernel.retention_tenants(p_relation oid) returns setof uuid
language plpgsql stable set search_path = ''
as $$
declare
  _tenant uuid;
begin
  execute format('select r.tenant_id from %s as r order by r.tenant_id limit 1', p_relation::regclass) into _tenant;
  while _tenant is not null loop
    return next _tenant;
    execute format('select r.tenant_id from %s as r where r.tenant_id > $1 order by r.tenant_id limit 1', p_relation::regclass) into _tenant using _tenant;
  end loop;
end
$$;
comment on function plinth_kernel.retention_tenants(oid) is 'Tenants that have rows in a partition.';
