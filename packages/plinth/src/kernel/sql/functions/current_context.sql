-- The whole transaction context in one row, for statements that write many rows: read once, joined to all of them.
create or replace function plinth_kernel.current_context()
returns table (tenant_id uuid, actor_type text, actor_id text, correlation_id uuid, causation_id uuid, request_id text, reason text, ip text, user_agent text)
language plpgsql stable parallel safe rows 1 set search_path = ''
as $$
begin
  tenant_id := nullif(pg_catalog.current_setting('plinth.tenant_id', true), '')::uuid;
  if tenant_id is null then
    raise exception 'no tenant is set for this transaction' using errcode = 'PL400', detail = '{"code":"kernel_tenant_required"}',
      hint = 'Pass tenantId to plinth.transaction, or run: set local plinth.tenant_id = ''<uuid>''.';
  end if;
  actor_type := coalesce(nullif(pg_catalog.current_setting('plinth.actor_type', true), ''), 'system');
  actor_id := coalesce(nullif(pg_catalog.current_setting('plinth.actor_id', true), ''), session_user);
  correlation_id := nullif(pg_catalog.current_setting('plinth.correlation_id', true), '')::uuid;
  causation_id := nullif(pg_catalog.current_setting('plinth.causation_id', true), '')::uuid;
  request_id := nullif(pg_catalog.current_setting('plinth.request_id', true), '');
  reason := nullif(pg_catalog.current_setting('plinth.reason', true), '');
  ip := nullif(pg_catalog.current_setting('plinth.ip', true), '');
  user_agent := nullif(pg_catalog.current_setting('plinth.user_agent', true), '');
  return next;
end
$$;
comment on function plinth_kernel.current_context() is 'Context of the transaction as one row. Error kernel_tenant_required when no tenant is set.';
