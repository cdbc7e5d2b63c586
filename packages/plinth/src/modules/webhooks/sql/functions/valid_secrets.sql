-- Every overlap counts for all that were before it: with 0 none of them signs, because one may be known to somebody.
-- The newest five of each kind at most, however often somebody rotated: all of them sign each request, and receivers read no more than a few signatures.
-- Asked for every subscription of every claim: nearly all have one secret and no key pair, and the kept plan of a plain look costs a fifth of the rest.
create or replace function plinth_webhooks.valid_secrets(p_tenant_id uuid, p_subscription_id uuid, p_signing text default 'v1') returns text[]
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _secrets text[];
begin
  if p_signing not in ('v1a', 'both') then
    select array_agg(a.secret) into _secrets from (
      select a.secret from plinth_webhooks.secrets a where a.tenant_id = p_tenant_id and a.subscription_id = p_subscription_id limit 2) a;
    if cardinality(_secrets) = 1 then
      return _secrets;
    end if;
  end if;
  return (
    select coalesce(array_agg(s.secret order by s.kind, s.id desc), '{}') from (
      select 1 as kind, a.id, a.secret, min(a.created_at + a.overlap) over (order by a.id rows between 1 following and unbounded following) as replaced_at from (
        select a.* from plinth_webhooks.secrets a
        where a.tenant_id = p_tenant_id and a.subscription_id = p_subscription_id and p_signing <> 'v1a' order by a.id desc limit 5) a
      union all
      select 2, k.id, 'whsk_' || encode(k.seed, 'base64'), min(k.created_at + k.overlap) over (order by k.id rows between 1 following and unbounded following) from (
        select k.* from plinth_webhooks.signing_keys k
        where k.tenant_id = p_tenant_id and k.subscription_id = p_subscription_id and p_signing in ('v1a', 'both') order by k.id desc limit 5) k
    ) s
    where s.replaced_at is null or s.replaced_at > now());
end
$$;
comment on function plinth_webhooks.valid_secrets(uuid, uuid, text) is 'Secrets (whsec_...) and private keys (whsk_...) that sign for a subscription now, at most five of each, newest first. Only the worker role can read them.';
