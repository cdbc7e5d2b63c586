create or replace function plinth.set_retention_policy(p_kind text, p_keep interval default null, p_archive boolean default null, p_reason text default null) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant constant uuid := plinth_kernel.require_own_tenant();
  _whole constant boolean := _tenant = '00000000-0000-0000-0000-000000000000';
  _kind plinth_kernel.retention_kinds := plinth_maintenance.policy_kind(p_kind);
  _before interval := plinth_kernel.retention_keep(p_kind, _tenant);
begin
  if _kind.method = 'forever' or (_kind.tenancy = 'global' and not _whole) then
    raise exception '% has no policy that % could set', p_kind, case when _whole then 'anybody' else 'a tenant' end using errcode = 'PL422', detail = '{"code":"maintenance_policy_fixed"}',
      hint = 'Kinds that are kept forever have no policy; those of the whole installation are set without a tenant, by an operator.';
  elsif p_keep < interval '1 day' then
    raise exception 'a policy keeps rows for at least 1 day, not %', p_keep using errcode = 'PL422', detail = '{"code":"maintenance_keep_too_short"}', hint = 'Give 1 day or more; null keeps forever.';
  elsif p_keep > interval '1000 years' then
    raise exception 'a policy keeps rows for at most 1,000 years, not %', p_keep using errcode = 'PL422', detail = '{"code":"maintenance_keep_too_long"}', hint = 'Give less, or null, which keeps forever.';
  elsif p_archive is not null and (not _whole or _kind.method <> 'partition') then
    raise exception 'archiving of % is not set here', p_kind using errcode = 'PL422', detail = '{"code":"maintenance_policy_fixed"}',
      hint = 'Whole partitions are archived: set it for the installation, on a partitioned kind.';
  end if;
  insert into plinth_kernel.retention_policies (tenant_id, kind, keep, archive, reason) values (_tenant, p_kind, p_keep, p_archive, p_reason)
  on conflict (tenant_id, kind) do update set keep = excluded.keep, archive = excluded.archive, reason = excluded.reason, set_by = excluded.set_by, updated_at = excluded.updated_at;
  perform plinth.log_audit_event(p_action := 'retention_policy.set', p_resource_type := 'retention_policy', p_resource_id := p_kind,
    p_before := jsonb_build_object('keep', coalesce(_before::text, 'forever')), p_after := jsonb_build_object('keep', coalesce(p_keep::text, 'forever'), 'archive', p_archive),
    p_reason := p_reason, p_severity := 'warning');
end
$$;
comment on function plinth.set_retention_policy(text, interval, boolean, text) is
  'Sets how long the tenant of the transaction keeps a kind of record (tenant 00000000-0000-0000-0000-000000000000: everybody without a policy of their own). p_keep: 1 day to 1,000 years, null is forever. Recorded in the audit log. Errors: maintenance_kind_unknown, maintenance_policy_fixed, maintenance_keep_too_short, maintenance_keep_too_long, kernel_tenant_required, kernel_forbidden.';
