create or replace function plinth_queue.status_of(p_tenant uuid, p_id uuid) returns text
language sql stable security invoker set search_path = ''
as $$
  select v.status from plinth.message_queue v where v.tenant_id = p_tenant and v.id = p_id
$$;
comment on function plinth_queue.status_of(uuid, uuid) is 'Status of a message, as plinth.message_queue shows it.';
