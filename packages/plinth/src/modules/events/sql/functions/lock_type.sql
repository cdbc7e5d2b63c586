create or replace function plinth_events.lock_type(p_tenant_id uuid, p_name text) returns void
language sql volatile security invoker
begin atomic
  select pg_advisory_xact_lock(hashtextextended('plinth event type ' || coalesce(p_tenant_id::text, '') || p_name, 0));
end;
comment on function plinth_events.lock_type(uuid, text) is 'One change of a type at a time, so that two do not take the same version. Null: a common type.';
