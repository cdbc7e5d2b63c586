-- Trigger of the tables that say what may not go. It leaves a mark, by tenant, that lasts until the transaction ends and that sweeps look for
-- (retention_unsettled); then it waits for the sweeps under way, which are short. A sweep waits for nobody: a tenant that leaves its transaction
-- open keeps its own rows and nobody else's. The gate is let go at once, with a subtransaction that is rolled back: only the mark is to last.
create or replace function plinth_kernel.retention_changing() returns trigger
language plpgsql volatile set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(plinth_kernel.retention_lock('mark'), pg_catalog.hashtext(coalesce(new.tenant_id, old.tenant_id)::text));
  begin
    perform pg_catalog.pg_advisory_xact_lock(plinth_kernel.retention_lock('gate'), 0);
    raise exception using errcode = 'PLGAT';
  exception when sqlstate 'PLGAT' then
    null;
  end;
  return coalesce(new, old);
end
$$;
comment on function plinth_kernel.retention_changing() is 'Trigger: says, until the transaction ends, that a legal hold or a retention policy of a tenant is being changed, and waits for the sweeps under way.';
