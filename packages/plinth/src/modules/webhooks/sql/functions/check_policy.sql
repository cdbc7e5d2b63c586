create or replace function plinth_webhooks.check_policy(p_policy plinth_webhooks.subscriptions) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  _fault text := case
    when p_policy.ordering not in ('parallel', 'fifo', 'fifo_by_key') then 'ordering is parallel, fifo or fifo_by_key'
    when p_policy.mode = 'pull' and (p_policy.ordering <> 'fifo' or p_policy.order_key is not null) then 'a subscription that is pulled is read in order: ordering is fifo'
    when p_policy.poison not in ('skip', 'block') then 'poison is skip or block'
    when p_policy.retry_schedule not in ('standard', 'short', 'long', 'none', 'custom') then 'retry_schedule is standard, short, long, none or custom'
    when p_policy.retry_schedule = 'custom' and (coalesce(cardinality(p_policy.retry_seconds), 0) not between 1 and 50 or array_ndims(p_policy.retry_seconds) <> 1
      or exists (select from unnest(p_policy.retry_seconds) s where s is null or s not between 1 and 604800)) then 'retry_seconds are 1 to 50 waits of 1 second to 7 days'
    when p_policy.max_in_flight not between 1 and 1000 then 'max_in_flight is 1 to 1,000'
    when p_policy.rate_per_second not between 0.001 and 100000 then 'rate_per_second is 0.001 to 100,000'
    when p_policy.disable_after_failures not between 1 and 1000000 then 'disable_after_failures is 1 to 1,000,000'
    when p_policy.disable_after not between interval '0' and interval '365 days' then 'disable_after is 0 to 365 days'
    when not plinth_webhooks.is_plain_path(p_policy.order_key) then 'order_key is a path of names and places in lists such as $.customer.id, of at most 500 characters'
  end;
begin
  if _fault is not null then
    raise exception 'The policy is not valid: %', _fault using errcode = 'PL400', detail = '{"code":"webhooks_policy_invalid"}', hint = 'Correct this value; leave out what is to stay.';
  end if;
end
$$;
comment on function plinth_webhooks.check_policy(plinth_webhooks.subscriptions) is 'Raises webhooks_policy_invalid for a policy that cannot be kept to.';
