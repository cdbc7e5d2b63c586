-- One row for an operator, tenant and reason in ten minutes: enough to prove who looked and why, without a row per click.
create or replace function plinth_access.note_operator_access(p_tenant_id uuid, p_operator_id text, p_reason text) returns boolean
language sql volatile security invoker set search_path = ''
as $$
  -- A page of the console asks for thirty lists at once: those that wait here see the row of the first, because the next statement looks anew.
  select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(
    pg_catalog.concat_ws(' ', 'plinth operator access', p_tenant_id, p_operator_id, p_reason), 0));
  with noted as (
    insert into plinth_access.operator_access (tenant_id, operator_id, reason)
    select p_tenant_id, p_operator_id, p_reason
    where not exists (
      select from plinth_access.operator_access as a
      where a.tenant_id = p_tenant_id and a.operator_id = p_operator_id and a.reason = p_reason
        and a.id >= plinth_kernel.v7_floor(pg_catalog.clock_timestamp() - interval '10 minutes'))
    returning 1)
  select exists (select from noted)
$$;
comment on function plinth_access.note_operator_access(uuid, text, text) is
  'Records that an operator entered a tenant, unless the same operator gave the same reason for it in the last ten minutes. True when it was recorded.';
