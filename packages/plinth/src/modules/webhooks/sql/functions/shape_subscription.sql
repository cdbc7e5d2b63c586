create or replace function plinth_webhooks.shape_subscription(p_subscription_id uuid, p_filter jsonb, p_transform jsonb, p_signing text) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _transform jsonb := nullif(p_transform, 'null');
begin
  if p_filter is not null then
    update plinth_webhooks.subscriptions s set filter = case when p_filter not in ('null', '[]') then p_filter end, filter_path = plinth_webhooks.filter_path(p_filter) where s.tenant_id = _old.tenant_id and s.id = _old.id;
  end if;
  if p_transform is not null and _transform is distinct from _old.transform then
    perform plinth_webhooks.check_transform(_transform) where _transform is not null;
    update plinth_webhooks.subscriptions s set transform = _transform, transform_version = s.transform_version + 1 where s.tenant_id = _old.tenant_id and s.id = _old.id;
    insert into plinth_webhooks.transforms (tenant_id, subscription_id, version, transform, created_by)
    select _old.tenant_id, _old.id, _old.transform_version + 1, _transform, c.actor_id from plinth_kernel.current_context() c;
  end if;
  if p_signing is null or p_signing = _old.signing then
    return null;
  elsif p_signing not in ('v1', 'v1a', 'both', 'stripe', 'github', 'slack') then
    raise exception 'There is no way of signing called %', quote_literal(left(p_signing, 50)) using errcode = 'PL400', detail = '{"code":"webhooks_signing_invalid"}', hint = 'Give v1, v1a, both, stripe, github or slack.';
  end if;
  update plinth_webhooks.subscriptions s set signing = p_signing where s.tenant_id = _old.tenant_id and s.id = _old.id;
  if p_signing in ('v1a', 'both') and not exists (select from plinth_webhooks.public_keys k where k.tenant_id = _old.tenant_id and k.subscription_id = _old.id) then
    perform plinth_webhooks.add_key(_old.id);
  end if;
  -- What was signed by a key alone, or with a text of another provider's form, may have no secret that fits.
  return case when (_old.signing = 'v1a' and p_signing <> 'v1a') or (_old.signing in ('stripe', 'github', 'slack') and p_signing in ('v1', 'both'))
    then plinth_webhooks.add_secret(_old.id, null, interval '24 hours') end;
end
$$;
comment on function plinth_webhooks.shape_subscription(uuid, jsonb, jsonb, text) is
  'Sets filter, transform and signing of a subscription; null leaves, JSON null takes away. Returns the secret that a new way of signing needed. Errors: webhooks_filter_invalid, webhooks_transform_invalid, webhooks_signing_invalid.';
