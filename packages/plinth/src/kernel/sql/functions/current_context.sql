-- The whole transaction context in one row, for statements that write: read once, joined to all their rows.
-- An atomic body without SET is inlined into the caller's plan; OFFSET 0 keeps it one evaluation, not one a row.
create or replace function plinth_kernel.current_context()
returns table (tenant_id uuid, actor_type text, actor_id text, correlation_id uuid, causation_id uuid, request_id text, reason text, ip text, user_agent text)
language sql stable parallel safe rows 1
begin atomic
  select plinth_kernel.require_tenant(),
    coalesce(nullif(current_setting('plinth.actor_type', true), ''), 'system'),
    coalesce(nullif(current_setting('plinth.actor_id', true), ''), session_user::text),
    nullif(current_setting('plinth.correlation_id', true), '')::uuid,
    nullif(current_setting('plinth.causation_id', true), '')::uuid,
    nullif(current_setting('plinth.request_id', true), ''),
    nullif(current_setting('plinth.reason', true), ''),
    nullif(current_setting('plinth.ip', true), ''),
    nullif(current_setting('plinth.user_agent', true), '')
  offset 0;
end;
comment on function plinth_kernel.current_context() is 'Context of the transaction as one row. Error kernel_tenant_required when no tenant is set.';
