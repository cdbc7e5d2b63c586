create or replace function plinth_queue.redrive_one(p_id uuid) returns text
language sql volatile security invoker set search_path = ''
as $$
  select d.queue from plinth_queue.dead d
  where d.tenant_id = plinth_kernel.require_tenant() and d.id = p_id and exists (select from plinth.redrive_messages(d.queue, array[p_id]))
$$;
comment on function plinth_queue.redrive_one(uuid) is 'Redrives one dead letter and returns its queue; nothing when there is none.';
