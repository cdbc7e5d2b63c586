-- One that is replaced counts until the overlap of one of its successors is over, and no longer than until there are five after it (valid_secrets).
create or replace function plinth_webhooks.forget_secrets() returns integer
language sql volatile security invoker set search_path = ''
as $$
  with replaced as (
    select s.tenant_id, s.id, least(min(s.created_at + s.overlap) over later, lead(s.created_at, 5) over line) as replaced_at from plinth_webhooks.secrets s
    window line as (partition by s.tenant_id, s.subscription_id order by s.id), later as (line rows between 1 following and unbounded following)
  ), gone as (
    delete from plinth_webhooks.secrets s using replaced r where s.tenant_id = r.tenant_id and s.id = r.id and r.replaced_at < now() returning 1
  ), replaced_key as (
    select k.tenant_id, k.id, least(min(k.created_at + k.overlap) over later, lead(k.created_at, 5) over line) as replaced_at from plinth_webhooks.signing_keys k
    window line as (partition by k.tenant_id, k.subscription_id order by k.id), later as (line rows between 1 following and unbounded following)
  ), gone_key as (
    -- An hour longer than it signs: what was signed last may still be on its way, and its public half must be found.
    delete from plinth_webhooks.signing_keys k using replaced_key r where k.tenant_id = r.tenant_id and k.id = r.id and r.replaced_at < now() - interval '1 hour' returning 1
  ), replaced_inbound as (
    select s.tenant_id, s.id, least(min(s.created_at + s.overlap) over later, lead(s.created_at, 5) over line) as replaced_at from plinth_webhooks.inbound_secrets s
    window line as (partition by s.tenant_id, s.source_id order by s.id), later as (line rows between 1 following and unbounded following)
  ), gone_inbound as (
    delete from plinth_webhooks.inbound_secrets s using replaced_inbound r where s.tenant_id = r.tenant_id and s.id = r.id and r.replaced_at < now() returning 1
  )
  select ((select count(*) from gone) + (select count(*) from gone_key) + (select count(*) from gone_inbound))::integer
$$;
comment on function plinth_webhooks.forget_secrets() is 'Deletes secrets and keys that no longer sign. Run by the dispatcher at its start and once an hour; returns how many.';
