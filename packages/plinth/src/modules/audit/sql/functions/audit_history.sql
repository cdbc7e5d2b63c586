create or replace function plinth.audit_history(p_entity_type text, p_entity_id text, p_limit integer default 100, p_before_id uuid default null)
returns setof plinth.audit_logs
language sql stable security invoker set search_path = ''
as $$
  select * from plinth.audit_logs
  where tenant_id = plinth_kernel.tenant_id() and entity_type = p_entity_type and entity_id = p_entity_id
    and id < coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
  order by id desc
  limit least(greatest(coalesce(p_limit, 100), 1), 1000)
$$;
comment on function plinth.audit_history(text, text, integer, uuid) is
  'History of one entity, newest first, with the difference of each entry in changes. p_limit 1 to 1000, default 100; p_before_id is the last id of the page before.';
