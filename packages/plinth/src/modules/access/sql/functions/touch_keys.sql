-- Notes the use of keys, at most once a minute each: a busy key must not become a hot row.
create or replace function plinth_access.touch_keys(p_ids uuid[]) returns void
language sql volatile security invoker set search_path = ''
as $$
  update plinth_access.api_keys as k set last_used_at = pg_catalog.clock_timestamp()
  where k.id = any (p_ids) and (k.last_used_at is null or k.last_used_at < pg_catalog.clock_timestamp() - interval '1 minute');
  update plinth_access.operator_keys as o set last_used_at = pg_catalog.clock_timestamp()
  where o.id = any (p_ids) and (o.last_used_at is null or o.last_used_at < pg_catalog.clock_timestamp() - interval '1 minute');
$$;
comment on function plinth_access.touch_keys(uuid[]) is 'Sets last_used_at of keys that were not used in the last minute. Runs as plinth_worker.';
