-- Definer: tenants read their limits, and change only their own, only here. The audit log wants a tenant: the nil one stands for all.
create or replace function plinth.set_delivery_limits(p_rate_per_second double precision default null, p_max_in_flight integer default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant uuid := coalesce(plinth_kernel.acting_tenant(), plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000');
  _source text := case when plinth_kernel.is_worker() then 'installation' else 'tenant' end;
  _entered text := coalesce(current_setting('plinth.tenant_id', true), '');
  _before jsonb;
begin
  if p_rate_per_second not between 0.001 and 100000 or p_max_in_flight not between 1 and 100000 then
    raise exception 'The limits are not valid: rate_per_second is 0.001 to 100,000, max_in_flight 1 to 100,000' using errcode = 'PL400', detail = '{"code":"webhooks_policy_invalid"}',
      hint = 'Leave out what is not to be limited.';
  end if;
  select jsonb_build_object('source', l.source, 'rate_per_second', l.rate_per_second, 'max_in_flight', l.max_in_flight) into _before
  from plinth_webhooks.tenant_limits l where l.tenant_id = _tenant and l.source = _source for update;
  delete from plinth_webhooks.tenant_limits l where l.tenant_id = _tenant and l.source = _source and p_rate_per_second is null and p_max_in_flight is null;
  insert into plinth_webhooks.tenant_limits (tenant_id, source, rate_per_second, max_in_flight)
  select _tenant, _source, p_rate_per_second, p_max_in_flight where p_rate_per_second is not null or p_max_in_flight is not null
  on conflict (tenant_id, source) do update
  set rate_per_second = excluded.rate_per_second, max_in_flight = excluded.max_in_flight, set_by = excluded.set_by, updated_at = excluded.updated_at;
  perform set_config('plinth.tenant_id', _tenant::text, true);
  perform plinth.log_audit_event(p_action := 'webhooks.limits_changed', p_resource_type := 'tenant', p_resource_id := _tenant::text, p_before := _before,
    p_after := jsonb_build_object('source', _source, 'rate_per_second', p_rate_per_second, 'max_in_flight', p_max_in_flight));
  perform set_config('plinth.tenant_id', _entered, true);
end
$$;
comment on function plinth.set_delivery_limits(double precision, integer) is
  'Limits what is sent for the tenant over all its subscriptions: attempts a second, and attempts at a time. Null: no limit. By plinth_worker it is a limit of the installation, which holds besides what the tenant sets for itself: of one tenant, or without one of every tenant for which there is no other. plinth.webhook_limits shows them. Errors: webhooks_policy_invalid, kernel_tenant_required.';
