create or replace function plinth_webhooks.save_public_keys(p_rows jsonb) returns integer
language sql volatile security invoker set search_path = ''
as $$
  with held as materialized (
    -- Keys of a subscription that a tenant's open transaction is deleting are not waited for: those of others would wait as well.
    select r.* from jsonb_to_recordset(p_rows) as r (tenant_id uuid, id uuid, public_key text, key_id text) cross join lateral (
      select from plinth_webhooks.public_keys p where p.tenant_id = r.tenant_id and p.id = r.id and p.public_key is null limit 1 for no key update skip locked) p
  ), saved as (
    update plinth_webhooks.public_keys p set public_key = h.public_key, key_id = h.key_id from held h
    where p.tenant_id = h.tenant_id and p.id = h.id and p.public_key is null returning 1
  )
  select count(*)::integer from saved
$$;
comment on function plinth_webhooks.save_public_keys(jsonb) is 'Keeps public halves that were derived, [{tenant_id, id, public_key, key_id}]; returns how many.';
