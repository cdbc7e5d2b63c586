create or replace function plinth_webhooks.add_inbound_secret(p_source plinth_webhooks.inbound_sources, p_secret text, p_overlap interval default interval '0') returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _secret text := coalesce(p_secret, 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'));
begin
  if length(_secret) not between 8 and 500 or (p_source).profile = 'standard' and _secret !~ '^wh(sec_[A-Za-z0-9+/]{32,86}={0,2}|pk_[A-Za-z0-9+/]{43}=)$' then
    raise exception 'This is not a secret of the profile %', (p_source).profile using errcode = 'PL400', detail = '{"code":"webhooks_secret_invalid"}',
      hint = 'Copy the secret that the provider shows: for the profile standard whsec_... or whpk_..., for the others 8 to 500 characters.';
  end if;
  if p_overlap is null or p_overlap not between interval '0' and interval '30 days' then
    raise exception 'An overlap of % is not between 0 seconds and 30 days', coalesce(p_overlap::text, 'null') using errcode = 'PL400', detail = '{"code":"webhooks_overlap_invalid"}', hint = 'Give an overlap such as 24 hours.';
  end if;
  insert into plinth_webhooks.inbound_secrets (tenant_id, source_id, secret, overlap) values ((p_source).tenant_id, (p_source).id, _secret, p_overlap);
  return _secret;
end
$$;
comment on function plinth_webhooks.add_inbound_secret(plinth_webhooks.inbound_sources, text, interval) is 'Adds the secret of an inbound source, made here when none is given, and returns it.';
