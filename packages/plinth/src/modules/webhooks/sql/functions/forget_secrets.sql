create or replace function plinth_webhooks.forget_secrets() returns integer
language sql volatile security invoker set search_path = ''
as $$
  with replaced as (
    select s.tenant_id, s.id, lead(s.created_at + s.overlap) over (partition by s.tenant_id, s.subscription_id order by s.id) as replaced_at from plinth_webhooks.secrets s
  ), gone as (
    delete from plinth_webhooks.secrets s using replaced r where s.tenant_id = r.tenant_id and s.id = r.id and r.replaced_at < now() returning 1
  )
  select count(*)::integer from gone
$$;
comment on function plinth_webhooks.forget_secrets() is 'Deletes secrets that no longer sign. Run by the dispatcher at its start and once an hour; returns how many.';
