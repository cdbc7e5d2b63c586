-- Spends a one-time link: the first caller gets the key it stands for, every later one nothing.
create or replace function plinth_access.use_login_link(p_hash bytea) returns uuid
language sql volatile security invoker set search_path = ''
as $$
  update plinth_access.login_links as l set used_at = pg_catalog.clock_timestamp()
  from plinth_access.operator_keys as o
  where l.hash = p_hash and l.used_at is null and l.expires_at > pg_catalog.clock_timestamp() and o.id = l.operator_key_id and o.revoked_at is null
  returning l.operator_key_id
$$;
comment on function plinth_access.use_login_link(bytea) is 'Spends a console link and returns the operator key it stands for, or null when it is unknown, used or expired. Runs as plinth_worker.';
