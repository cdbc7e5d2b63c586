create or replace function plinth_kernel.retention_lock(p_what text) returns integer
language sql immutable set search_path = ''
as $$ select pg_catalog.hashtext('plinth retention ' || p_what) $$;
comment on function plinth_kernel.retention_lock(text) is 'First key of the advisory locks of retention. mark: a tenant''s holds or policies are being changed; gate: held by sweeps.';
