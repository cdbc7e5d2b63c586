create or replace function plinth_kernel.retention_unsettled() returns integer[]
language plpgsql volatile set search_path = ''
as $$
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(plinth_kernel.retention_lock('gate'), 0);
  return array(select l.objid::bigint::bit(32)::integer from pg_catalog.pg_locks as l
    where l.locktype = 'advisory' and l.objsubid = 2 and l.classid::bigint = plinth_kernel.retention_lock('mark')::bit(32)::bigint
      and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()));
end
$$;
comment on function plinth_kernel.retention_unsettled() is
  'Tenants, as hashtext(tenant_id::text), whose legal holds or retention policies somebody is changing: a sweep leaves their rows to the next one, and those of everybody when the nil tenant is among them. Who begins to change some after this call waits until its transaction ends.';
