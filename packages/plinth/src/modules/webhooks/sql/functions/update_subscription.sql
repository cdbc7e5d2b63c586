create or replace function plinth.update_subscription(p_subscription_id uuid, p_name text default null, p_patterns text[] default null, p_url text default null, p_description text default null,
  p_filter jsonb default null, p_transform jsonb default null, p_signing text default null, p_mode text default null, p_format text default null, p_reveal boolean default null, p_public_only boolean default null)
returns table (withheld integer, secret text)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _made text;
begin
  perform plinth_webhooks.check_name(coalesce(p_name, _old.name)), plinth_webhooks.check_patterns(coalesce(p_patterns, _old.patterns));
  if exists (select from plinth_webhooks.subscriptions s where s.tenant_id = _old.tenant_id and s.name = p_name and s.id <> _old.id) then
    raise exception 'There is already a subscription with the name %', quote_literal(p_name) using errcode = 'PL409', detail = '{"code":"webhooks_name_taken"}', hint = 'Give another name.';
  end if;
  update plinth_webhooks.subscriptions s
  set name = coalesce(p_name, s.name), patterns = coalesce(p_patterns, s.patterns), description = coalesce(p_description, s.description), public_only = coalesce(p_public_only, s.public_only),
    updated_at = clock_timestamp()
  where s.tenant_id = _old.tenant_id and s.id = _old.id;
  if p_url is not null or p_mode is not null then
    secret := plinth_webhooks.set_mode(_old, p_mode, p_url);
  end if;
  withheld := case when p_public_only and not _old.public_only then plinth_webhooks.withhold_internal(_old.tenant_id, _old.id) else 0 end;
  if p_patterns is not null then
    perform plinth_webhooks.set_keys(_old.id, p_patterns);
  end if;
  perform plinth_webhooks.set_format(_old.id, p_format, p_reveal) where p_format is not null or p_reveal is not null;
  _made := plinth_webhooks.shape_subscription(_old.id, p_filter, p_transform, p_signing);
  secret := coalesce(_made, secret);
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_updated', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_before := jsonb_build_object('name', _old.name, 'mode', _old.mode, 'url', _old.url, 'patterns', _old.patterns, 'description', _old.description, 'filter', _old.filter, 'transform', _old.transform, 'signing', _old.signing, 'format', _old.format, 'reveal', _old.reveal, 'public_only', _old.public_only),
    p_after := jsonb_build_object('name', coalesce(p_name, _old.name), 'mode', coalesce(p_mode, _old.mode), 'url', case when coalesce(p_mode, _old.mode) = 'push' then coalesce(p_url, _old.url) end, 'patterns', coalesce(p_patterns, _old.patterns),
      'description', coalesce(p_description, _old.description),
      'filter', coalesce(p_filter, _old.filter), 'transform', coalesce(p_transform, _old.transform), 'signing', coalesce(p_signing, _old.signing), 'format', coalesce(p_format, _old.format), 'reveal', coalesce(p_reveal, _old.reveal), 'public_only', coalesce(p_public_only, _old.public_only)),
    p_metadata := case when withheld > 0 then jsonb_build_object('withheld', withheld) end);
  return next;
end
$$;
comment on function plinth.update_subscription(uuid, text, text[], text, text, jsonb, jsonb, text, text, text, boolean, boolean) is
  'Changes what is given and leaves the rest. A new URL counts for deliveries that are already waiting, too; a new filter, transform and format for events from now on; p_reveal for what waits, too. p_public_only gives up what waits of types that are not public, and tells how many (withheld): they stay in plinth.event_deliveries as failed, and are sent again only when p_public_only has been taken back. secret is the one that was made for the new p_signing or p_mode, if one was: the only time that it can be read. JSON null takes a filter or transform away. What waits goes the way of a new p_mode; one that becomes push needs a URL and has a new secret. Errors: webhooks_mode_invalid, webhooks_format_invalid, webhooks_subscription_not_found, webhooks_name_invalid, webhooks_name_taken, webhooks_pattern_invalid, webhooks_url_invalid, webhooks_filter_invalid, webhooks_transform_invalid, webhooks_signing_invalid.';
