create or replace function plinth_streams.is_forked(p_tenant_id uuid, p_id uuid) returns boolean
language sql stable security invoker
return exists (select from plinth_streams.streams as f where f.tenant_id = p_tenant_id and f.forked_from = p_id);
comment on function plinth_streams.is_forked(uuid, uuid) is 'Whether another stream still reads from this one.';
