create or replace function plinth_webhooks.keys_to_derive(p_limit integer default 1000) returns table (tenant_id uuid, id uuid, seed text)
language sql stable security invoker set search_path = ''
as $$
  select p.tenant_id, p.id, encode(k.seed, 'base64') from plinth_webhooks.public_keys p
  join plinth_webhooks.signing_keys k on k.tenant_id = p.tenant_id and k.id = p.id
  where p.public_key is null order by p.id limit p_limit
$$;
comment on function plinth_webhooks.keys_to_derive(integer) is 'Private keys whose public half is not known yet. Only the worker role can read them.';
