-- What a request must know about the key it shows. Only plinth_worker sees keys of every tenant; invoker rights keep it so for everyone else.
create or replace function plinth_access.key_by_hash(p_hash bytea)
returns table (kind text, id uuid, tenant_id uuid, name text, scopes text[], expires_at timestamptz, revoked_at timestamptz, tenant_status text)
language sql stable security invoker set search_path = ''
as $$
  select 'tenant', k.id, k.tenant_id, k.name, k.scopes, k.expires_at, k.revoked_at, t.status
  from plinth_access.api_keys as k join plinth_kernel.tenants as t on t.id = k.tenant_id
  where k.hash = p_hash
  union all
  select 'operator', o.id, null, o.name, o.scopes, o.expires_at, o.revoked_at, null
  from plinth_access.operator_keys as o
  where o.hash = p_hash
$$;
comment on function plinth_access.key_by_hash(bytea) is 'The API key with this SHA-256, of a tenant or of an operator, also when it is expired or revoked. Runs as plinth_worker.';
