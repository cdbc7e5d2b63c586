-- A random seed is an ed25519 private key. The public half is derived by the worker (derive_keys), because SQL knows no curves.
create or replace function plinth_webhooks.add_key(p_subscription_id uuid, p_overlap interval default interval '0') returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid := plinth_kernel.uuid_v7();
begin
  if p_overlap is null or p_overlap not between interval '0' and interval '7 days' then
    raise exception 'An overlap of % is not between 0 seconds and 7 days', coalesce(p_overlap::text, 'null') using errcode = 'PL400', detail = '{"code":"webhooks_overlap_invalid"}',
      hint = 'Give an overlap such as 24 hours.';
  end if;
  insert into plinth_webhooks.signing_keys (tenant_id, id, subscription_id, seed, overlap)
  values (plinth_kernel.tenant_id(), _id, p_subscription_id,
    sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), p_overlap);
  insert into plinth_webhooks.public_keys (tenant_id, id, subscription_id) values (plinth_kernel.tenant_id(), _id, p_subscription_id);
  return _id;
end
$$;
comment on function plinth_webhooks.add_key(uuid, interval) is 'Adds an ed25519 signing key, whose private half nobody is ever shown, and returns its id in plinth.webhook_public_keys.';
