-- Made in the database, so that no secret is ever part of a statement's text or of a server log. gen_random_uuid has 122 bits from the
-- operating system's generator; four of them, hashed, fill the 256 bits of the key.
create or replace function plinth_webhooks.add_secret(p_subscription_id uuid, p_secret text default null, p_overlap interval default interval '0') returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _secret text := coalesce(p_secret, 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'));
  _signing text := (select s.signing from plinth_webhooks.subscriptions s where s.tenant_id = plinth_kernel.tenant_id() and s.id = p_subscription_id);
begin
  -- In the forms of other providers the text itself is the key, and a receiver that moves here brings the one it has.
  if _signing in ('stripe', 'github', 'slack') then
    if _secret !~ '^[!-~]{16,200}$' then
      raise exception 'The secret does not have 16 to 200 visible characters' using errcode = 'PL400', detail = '{"code":"webhooks_secret_invalid"}', hint = 'Leave it out, and one is made.';
    end if;
  elsif _secret !~ '^whsec_[A-Za-z0-9+/]{32,86}={0,2}$' or length(_secret) % 4 <> 2 or length(decode(substr(_secret, 7), 'base64')) not between 24 and 64 then
    raise exception 'The secret is not whsec_ and the base64 of 24 to 64 bytes' using errcode = 'PL400', detail = '{"code":"webhooks_secret_invalid"}',
      hint = 'Leave it out, and one is made; or give one that was made by a Standard Webhooks library.';
  end if;
  if p_overlap is null or p_overlap not between interval '0' and interval '7 days' then
    raise exception 'An overlap of % is not between 0 seconds and 7 days', coalesce(p_overlap::text, 'null') using errcode = 'PL400', detail = '{"code":"webhooks_overlap_invalid"}',
      hint = 'Give an overlap such as 24 hours.';
  end if;
  insert into plinth_webhooks.secrets (tenant_id, subscription_id, secret, overlap) values (plinth_kernel.tenant_id(), p_subscription_id, _secret, p_overlap);
  return _secret;
end
$$;
comment on function plinth_webhooks.add_secret(uuid, text, interval) is 'Adds a signing secret, made here when none is given, and returns it: the only time that it can be read.';
