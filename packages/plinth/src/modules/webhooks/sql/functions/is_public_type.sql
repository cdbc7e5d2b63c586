-- A type is what its newest version is. One that nobody registered is in no catalogue, so it is not public.
create or replace function plinth_webhooks.is_public_type(p_tenant_id uuid, p_type text) returns boolean
language sql stable security invoker set search_path = ''
as $$
  select coalesce(
    (select t.visibility = 'public' from plinth_events.types t where t.tenant_id = p_tenant_id and t.name = p_type and t.deleted_at is null order by t.version desc limit 1),
    (select c.visibility = 'public' from plinth_events.common_types c where c.name = p_type order by c.version desc limit 1), false)
$$;
comment on function plinth_webhooks.is_public_type(uuid, text) is 'True when an event type of the tenant, or a common one, is registered and public.';
