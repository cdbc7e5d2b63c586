create or replace function plinth_webhooks.set_format(p_subscription_id uuid, p_format text, p_reveal boolean) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _format text := coalesce(p_format, _old.format);
begin
  perform plinth_webhooks.check_format(_format, _old.mode);
  update plinth_webhooks.subscriptions s set format = _format, reveal = coalesce(p_reveal, s.reveal)
  where s.tenant_id = _old.tenant_id and s.id = _old.id and (s.format, s.reveal) is distinct from (_format, coalesce(p_reveal, s.reveal));
  if p_reveal <> _old.reveal then
    perform plinth.log_audit_event(p_action := case when p_reveal then 'webhooks.personal_fields_revealed' else 'webhooks.personal_fields_hidden' end,
      p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text, p_severity := case when p_reveal then 'warning' else 'info' end,
      p_metadata := jsonb_build_object('mode', _old.mode, 'url', _old.url, 'patterns', _old.patterns));
  end if;
end
$$;
comment on function plinth_webhooks.set_format(uuid, text, boolean) is 'Sets the format of bodies and whether personal fields are readable in them; null leaves. Errors: webhooks_subscription_not_found, webhooks_format_invalid.';
