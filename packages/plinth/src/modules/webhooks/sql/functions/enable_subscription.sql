create or replace function plinth.enable_subscription(p_subscription_id uuid) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if (plinth_webhooks.require_subscription(p_subscription_id)).enabled then
    return 0;
  end if;
  return (select r.waiting from plinth.resume_subscription(p_subscription_id) r);
end
$$;
comment on function plinth.enable_subscription(uuid) is
  'Sends to a disabled subscription again, beginning with the deliveries that had been waiting when it was disabled; returns how many. Events from the time in between are not sent: see plinth.resume_subscription. Error: webhooks_subscription_not_found.';
