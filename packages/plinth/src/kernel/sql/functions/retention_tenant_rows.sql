-- Definer: a worker may not read every table. Without p_most it is as dear as reading all that there is of the tenant.
create or replace function plinth_kernel.retention_tenant_rows(p_tenant_id uuid, p_most bigint default null) returns table (kind text, row_count bigint)
language plpgsql stable security definer set search_path = ''
as $$
declare
  _table regclass;
begin
  for kind, _table in
    select k.kind, to_regclass(format('%I.%I', 'plinth_' || split_part(k.kind, '.', 1), split_part(k.kind, '.', 2))) from plinth_kernel.retention_kinds as k where k.tenancy = 'tenant' order by k.kind
  loop
    continue when _table is null;
    execute format('select count(*) from (select from %s where tenant_id = $1 limit $2) as r', _table) into row_count using p_tenant_id, p_most;
    if row_count > 0 then
      return next;
    end if;
  end loop;
end
$$;
comment on function plinth_kernel.retention_tenant_rows(uuid, bigint) is 'How many rows of each kind belong to a tenant, counted up to p_most; kinds without any are left out. For plinth_worker.';
