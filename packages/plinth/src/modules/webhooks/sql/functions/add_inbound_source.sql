create or replace function plinth.add_inbound_source(p_name text, p_profile text, p_secret text default null, p_options jsonb default '{}', p_tolerance interval default interval '5 minutes')
returns table (source_id uuid, secret text)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _source plinth_webhooks.inbound_sources;
  _fault text := case
    when p_name is null or p_name !~ '^[a-z0-9][a-z0-9_-]{0,49}$' then 'its name has 1 to 50 lower-case letters, digits, - and _'
    -- It begins the type of what comes in, and readers act on types that Plinth publishes itself: a provider could forge that a person was erased.
    when exists (select from unnest(plinth_events.own_types()) t where split_part(t, '.', 1) = p_name) then 'its name is not one under which Plinth publishes events itself'
    when p_profile is null or p_profile not in ('standard', 'stripe', 'github', 'slack', 'generic') then 'its profile is standard, stripe, github, slack or generic'
    when p_tolerance is null or p_tolerance not between interval '10 seconds' and interval '1 hour' then 'its tolerance lasts 10 seconds to 1 hour'
    else plinth_webhooks.inbound_options_fault(p_profile, p_options)
  end;
begin
  if _fault is not null then
    raise exception 'The inbound source is not valid: %', _fault using errcode = 'PL400', detail = pg_catalog.jsonb_build_object('code', 'webhooks_source_invalid', 'reason', _fault)::text, hint = 'Correct what the message names.';
  end if;
  insert into plinth_webhooks.inbound_sources (tenant_id, name, profile, options, tolerance, created_by)
  select c.tenant_id, p_name, p_profile, p_options, p_tolerance, c.actor_id from plinth_kernel.current_context() c
  on conflict (tenant_id, name) do nothing returning * into _source;
  if _source.id is null then
    raise exception 'There is already an inbound source with the name %', quote_literal(p_name) using errcode = 'PL409', detail = '{"code":"webhooks_source_taken"}', hint = 'Give another name.';
  end if;
  source_id := _source.id;
  secret := plinth_webhooks.add_inbound_secret(_source, p_secret);
  perform plinth.log_audit_event(p_action := 'webhooks.source_added', p_resource_type := 'webhook_source', p_resource_id := source_id::text,
    p_after := jsonb_build_object('name', p_name, 'profile', p_profile, 'options', p_options));
  return next;
end
$$;
comment on function plinth.add_inbound_source(text, text, text, jsonb, interval) is
  'Receives the webhooks of a provider at POST /api/v1/webhooks/inbound/{source_id}. p_profile: standard, stripe, github, slack or generic, whose p_options name header, encoding (hex, base64), prefix, id_header. p_secret: that of the provider; without one it is made here. Errors: webhooks_source_invalid, webhooks_source_taken, webhooks_secret_invalid, kernel_tenant_required.';
