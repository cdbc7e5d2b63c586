create or replace function plinth_kernel.retention_plan_sweeps(p_kind text, p_tenants uuid[], p_lower_id uuid, p_upper_id uuid, p_exact boolean)
returns table (kind text, action text, target text, tenant_id uuid, row_count bigint, size_bytes bigint, lower_id uuid, upper_id uuid, reason text)
language plpgsql stable set search_path = ''
as $$
declare
  _doomed text;
  _keep interval;
begin
  kind := p_kind; action := 'sweep'; lower_id := p_lower_id; upper_id := p_upper_id;
  select k.table_name into target from plinth_kernel.retention_kinds as k where k.kind = p_kind;
  foreach tenant_id in array p_tenants loop
    _doomed := plinth_kernel.retention_doomed_sql(p_kind, tenant_id, p_lower_id, p_upper_id);
    continue when _doomed is null;
    execute format('select count(*) from (%s%s) as doomed', _doomed, case when p_exact then '' else ' limit 1' end) into row_count;
    _keep := plinth_kernel.retention_keep(p_kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'));
    reason := format('kept for %s', _keep);
    if row_count > 0 then
      return next;
    end if;
  end loop;
end
$$;
comment on function plinth_kernel.retention_plan_sweeps(text, uuid[], uuid, uuid, boolean) is 'The sweeps that have rows to delete, one a tenant. Used by plinth_kernel.retention_plan.';
