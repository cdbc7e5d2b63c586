create or replace function plinth.set_delivery_limits(p_rate_per_second double precision default null, p_max_in_flight integer default null) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := (select c.tenant_id from plinth_kernel.current_context() c);
begin
  if p_rate_per_second <= 0 or p_rate_per_second > 100000 or p_rate_per_second = 'NaN' or p_max_in_flight not between 1 and 100000 then
    raise exception 'The limits are not valid: rate_per_second is more than 0 and at most 100,000, max_in_flight 1 to 100,000' using errcode = 'PL400', detail = '{"code":"webhooks_policy_invalid"}',
      hint = 'Leave out what is not to be limited.';
  end if;
  delete from plinth_webhooks.tenant_limits l where l.tenant_id = _tenant and p_rate_per_second is null and p_max_in_flight is null;
  insert into plinth_webhooks.tenant_limits (tenant_id, rate_per_second, max_in_flight)
  select _tenant, p_rate_per_second, p_max_in_flight where p_rate_per_second is not null or p_max_in_flight is not null
  on conflict (tenant_id) do update set rate_per_second = excluded.rate_per_second, max_in_flight = excluded.max_in_flight, tokens = null, refilled_at = null;
  perform plinth.log_audit_event(p_action := 'webhooks.limits_changed', p_resource_type := 'tenant', p_resource_id := _tenant::text,
    p_after := jsonb_build_object('rate_per_second', p_rate_per_second, 'max_in_flight', p_max_in_flight));
end
$$;
comment on function plinth.set_delivery_limits(double precision, integer) is
  'Limits what is sent for the tenant over all its subscriptions: attempts a second, and attempts at a time. Null: no limit. Errors: webhooks_policy_invalid, kernel_tenant_required.';
