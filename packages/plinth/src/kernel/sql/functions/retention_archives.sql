create or replace function plinth_kernel.retention_archives(p_kind text) returns boolean
language sql stable set search_path = ''
as $$
  select coalesce(p.archive, k.archive)
  from plinth_kernel.retention_kinds as k
  left join plinth_kernel.retention_policies as p on p.kind = k.kind and p.tenant_id = '00000000-0000-0000-0000-000000000000'
  where k.kind = p_kind
$$;
comment on function plinth_kernel.retention_archives(text) is 'Whether partitions of a kind are archived and read back before they are dropped.';
