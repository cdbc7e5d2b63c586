create or replace function plinth.subscribe(p_name text, p_patterns text[], p_url text default null, p_description text default null, p_secret text default null,
  p_filter jsonb default null, p_transform jsonb default null, p_signing text default 'v1', p_mode text default 'push', p_format text default 'standard', p_reveal boolean default false, p_public_only boolean default false)
returns table (subscription_id uuid, secret text)
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform plinth_webhooks.check_name(p_name), plinth_webhooks.check_patterns(p_patterns), plinth_webhooks.check_mode(p_mode, p_url);
  insert into plinth_webhooks.subscriptions (tenant_id, name, mode, url, ordering, patterns, description, public_only, created_by)
  select c.tenant_id, p_name, p_mode, p_url, case p_mode when 'pull' then 'fifo' else 'parallel' end, p_patterns, p_description, coalesce(p_public_only, false), c.actor_id from plinth_kernel.current_context() as c
  on conflict (tenant_id, name) do nothing
  returning id into subscription_id;
  if subscription_id is null then
    raise exception 'There is already a subscription with the name %', quote_literal(p_name) using errcode = 'PL409', detail = '{"code":"webhooks_name_taken"}',
      hint = 'Give another name, or change the existing subscription.';
  end if;
  insert into plinth_webhooks.lanes (tenant_id, subscription_id) values (plinth_kernel.tenant_id(), subscribe.subscription_id);
  insert into plinth_webhooks.pull_lanes (tenant_id, subscription_id) select plinth_kernel.tenant_id(), subscribe.subscription_id where p_mode = 'pull';
  perform plinth_webhooks.set_keys(subscription_id, p_patterns);
  perform plinth_webhooks.shape_subscription(subscription_id, p_filter, p_transform, p_signing);
  perform plinth_webhooks.set_format(subscription_id, p_format, p_reveal) where (p_format, p_reveal) is distinct from ('standard', false);
  if p_mode = 'push' and p_signing is distinct from 'v1a' then
    secret := plinth_webhooks.add_secret(subscription_id, p_secret);
  end if;
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_created', p_resource_type := 'webhook_subscription', p_resource_id := subscription_id::text,
    p_after := jsonb_build_object('name', p_name, 'mode', p_mode, 'url', p_url, 'patterns', p_patterns, 'filter', p_filter, 'transform', p_transform, 'signing', p_signing, 'format', p_format, 'reveal', p_reveal, 'public_only', p_public_only));
  return next;
end
$$;
comment on function plinth.subscribe(text, text[], text, text, text, jsonb, jsonb, text, text, text, boolean, boolean) is
  'Sends the events whose type matches a pattern to a URL, signed by Standard Webhooks. Patterns: order.created exactly, order.* one more segment, order.# order itself and everything below it, # everything. Returns the id and the signing secret, which cannot be read again. p_secret: one that the receiver already has. p_filter: a jsonpath predicate or filters of CloudEvents. p_transform: what becomes of the body. p_signing: v1, v1a (no secret, but a public key), both, stripe, github, slack. p_mode: push, or pull: nothing is sent, and the messages are kept to be read at /api/v1/durable/webhooks/{id}. p_format: standard, cloudevents-structured, cloudevents-binary. p_reveal: personal fields are readable in what is sent (audited). p_public_only: only events of types that are registered and public, whatever the patterns match. Errors: webhooks_mode_invalid, webhooks_format_invalid, webhooks_name_invalid, webhooks_name_taken, webhooks_pattern_invalid, webhooks_url_invalid, webhooks_secret_invalid, webhooks_filter_invalid, webhooks_transform_invalid, webhooks_signing_invalid, kernel_tenant_required.';
