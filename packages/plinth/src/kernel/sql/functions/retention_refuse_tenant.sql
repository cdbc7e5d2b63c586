-- What is erased does not come back: only after somebody has closed the tenant, and while nothing of it is held.
create or replace function plinth_kernel.retention_refuse_tenant(p_tenant_id uuid) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _status text := (select t.status from plinth_kernel.tenants as t where t.id = p_tenant_id);
  _why text;
begin
  if _status is distinct from 'closed' then
    _why := format('the tenant %s is %s', p_tenant_id, coalesce(_status, 'unknown here'));
  else
    select format('held for %s since %s: %s', case when h.tenant_id = p_tenant_id then 'the tenant' else 'every tenant' end, to_char(h.placed_at at time zone 'UTC', 'YYYY-MM-DD'), h.reason) into _why
    from plinth_kernel.retention_holds as h where h.released_at is null and h.tenant_id in (p_tenant_id, '00000000-0000-0000-0000-000000000000') order by h.placed_at limit 1;
  end if;
  if _why is not null then
    raise exception 'Nothing is erased: %', _why using errcode = 'PL409', detail = '{"code":"kernel_tenant_kept"}',
      hint = 'Close the tenant (PATCH /api/v1/tenants/{id}, status closed), and release the legal holds on it.';
  end if;
end
$$;
comment on function plinth_kernel.retention_refuse_tenant(uuid) is 'Refuses to erase a tenant that is not closed, or on which a legal hold is open. Errors: kernel_tenant_kept.';
