create or replace function plinth_queue.ended_at(p_tenant uuid, p_id uuid) returns timestamptz
language sql stable security invoker set search_path = ''
as $$
  select v.finished_at from plinth.message_queue v where v.tenant_id = p_tenant and v.id = p_id
$$;
comment on function plinth_queue.ended_at(uuid, uuid) is 'When a message was acknowledged, given up, expired or purged; null while it lives.';
