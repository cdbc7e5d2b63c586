-- Seed 003's own call. Everything that is not given comes from the transaction context.
create or replace function plinth.log_audit_event(
  p_actor_type text default null,
  p_actor_identifier text default null,
  p_action text default null,
  p_resource_type text default null,
  p_resource_id text default null,
  p_before jsonb default null,
  p_after jsonb default null,
  p_metadata jsonb default null,
  p_reason text default null,
  p_parent_id uuid default null,
  p_compliance_flags text[] default null,
  p_severity text default 'info',
  p_ip_address text default null,
  p_user_agent text default null,
  p_correlation_id uuid default null
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid;
begin
  if p_action is null or p_action = '' then
    raise exception 'an audit entry needs an action' using errcode = 'PL422', detail = '{"code":"audit_entry_invalid","field":"p_action"}',
      hint = 'Name what happened, in the past tense: order_created.';
  end if;
  if p_resource_id is not null and p_resource_type is null then
    raise exception 'p_resource_id % has no p_resource_type', p_resource_id using errcode = 'PL422', detail = '{"code":"audit_entry_invalid","field":"p_resource_type"}',
      hint = 'Say what kind of thing the id names.';
  end if;
  if p_severity not in ('info', 'warning', 'critical') then
    raise exception '% is not a severity', left(p_severity, 50) using errcode = 'PL422', detail = '{"code":"audit_entry_invalid","field":"p_severity"}',
      hint = 'Give info, warning or critical, or leave it out.';
  end if;
  if jsonb_typeof(p_before) not in ('object', 'null') or jsonb_typeof(p_after) not in ('object', 'null') then
    raise exception 'p_before and p_after are JSON objects' using errcode = 'PL422', detail = '{"code":"audit_entry_invalid","field":"p_before"}',
      hint = 'Give the state as an object of named fields: {"items": [...]}, not a list or a single value.';
  end if;
  insert into plinth_audit.entries (tenant_id, action, entity_type, entity_id, actor_type, actor_id, before, after, parent_id, compliance_flags,
    severity, reason, ip, user_agent, metadata, correlation_id, causation_id, request_id)
  select c.tenant_id, p_action, p_resource_type, p_resource_id, coalesce(p_actor_type, c.actor_type), coalesce(p_actor_identifier, c.actor_id), p_before, p_after,
    p_parent_id, p_compliance_flags, coalesce(p_severity, 'info'), coalesce(p_reason, c.reason), coalesce(p_ip_address, c.ip), coalesce(p_user_agent, c.user_agent), p_metadata,
    coalesce(p_correlation_id, c.correlation_id), c.causation_id, c.request_id
  from plinth_kernel.current_context() as c
  returning id into _id;
  return _id;
end
$$;
comment on function plinth.log_audit_event(text, text, text, text, text, jsonb, jsonb, jsonb, text, uuid, text[], text, text, text, uuid) is
  'Records one audit entry in the transaction of the caller and returns its id. Actor, reason, address and correlation default to the transaction context. Errors: audit_entry_invalid, kernel_tenant_required.';
