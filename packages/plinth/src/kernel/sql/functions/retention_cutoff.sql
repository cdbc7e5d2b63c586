-- By the database's clock. The nil id is below every row, so that "forever" needs no case of its own.
create or replace function plinth_kernel.retention_cutoff(p_kind text, p_tenant_id uuid) returns uuid
language sql stable set search_path = ''
as $$
  select coalesce(plinth_kernel.v7_floor(now() - plinth_kernel.retention_keep(p_kind, p_tenant_id)), '00000000-0000-0000-0000-000000000000'::uuid)
$$;
comment on function plinth_kernel.retention_cutoff(text, uuid) is 'Rows of this kind and tenant with a smaller id are past their time.';
