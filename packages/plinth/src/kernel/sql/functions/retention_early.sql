-- Asked for each partition that stays: a look of its own for each of a thousand tenants took a second a partition, nearly all of them at nothing.
create or replace function plinth_kernel.retention_early(p_kind text, p_relation oid) returns uuid[]
language plpgsql stable set search_path = ''
as $$
declare
  _tenants uuid[];
begin
  execute format('select array(select p.tenant_id from plinth_kernel.retention_policies as p where p.kind = %1$L and p.tenant_id <> %2$L and p.keep is not null
    and exists (select from %3$s as r where r.tenant_id = p.tenant_id and r.%4$I < plinth_kernel.retention_cutoff(%1$L, p.tenant_id)))',
    p_kind, '00000000-0000-0000-0000-000000000000', p_relation::regclass,
    (select plinth_kernel.partition_column(k.table_name::regclass) from plinth_kernel.retention_kinds as k where k.kind = p_kind))
    into _tenants;
  return _tenants;
end
$$;
comment on function plinth_kernel.retention_early(text, oid) is 'Tenants with a policy of their own that have rows in a partition which are past their time. Used by plinth_kernel.retention_plan.';
