-- Notes the use of a key, at most once a minute: a busy key must not become a hot row. By tenant and id, which is the primary key: by the id alone every
-- note read the keys of all tenants.
create or replace function plinth_access.touch_key(p_tenant_id uuid, p_id uuid) returns void
language sql volatile security invoker set search_path = ''
as $$
  update plinth_access.api_keys as k set last_used_at = pg_catalog.clock_timestamp()
  where k.tenant_id = p_tenant_id and k.id = p_id and (k.last_used_at is null or k.last_used_at < pg_catalog.clock_timestamp() - interval '1 minute');
  update plinth_access.operator_keys as o set last_used_at = pg_catalog.clock_timestamp()
  where p_tenant_id is null and o.id = p_id and (o.last_used_at is null or o.last_used_at < pg_catalog.clock_timestamp() - interval '1 minute');
$$;
comment on function plinth_access.touch_key(uuid, uuid) is 'Sets last_used_at of a key of a tenant, or (null) of an operator, that was not used in the last minute. Runs as plinth_worker.';
