-- A pulled lane is an ordered one (fifo), so that the index of ordered lanes finds what is next; nobody waits for what is before it to be answered.
create or replace function plinth_webhooks.set_mode(p_old plinth_webhooks.subscriptions, p_mode text, p_url text) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _mode text := coalesce(p_mode, p_old.mode);
begin
  perform plinth_webhooks.check_mode(_mode, case when _mode = 'push' then coalesce(p_url, p_old.url) else p_url end);
  if _mode = 'pull' and p_old.format = 'cloudevents-binary' then
    perform plinth_webhooks.set_format(p_old.id, 'cloudevents-structured', null);
  end if;
  update plinth_webhooks.subscriptions s
  set mode = _mode, url = case when _mode = 'push' then coalesce(p_url, s.url) end, ordering = case when _mode = 'pull' then 'fifo' else s.ordering end,
    order_key = case when _mode = 'push' then s.order_key end
  where s.tenant_id = p_old.tenant_id and s.id = p_old.id;
  if _mode = 'pull' then
    insert into plinth_webhooks.pull_lanes (tenant_id, subscription_id) values (p_old.tenant_id, p_old.id) on conflict do nothing;
  end if;
  if _mode = 'pull' and (p_old.ordering, p_old.order_key) is distinct from ('fifo', null) then
    perform plinth_webhooks.reorder(p_old.tenant_id, p_old.id);
  end if;
  if _mode = 'push' and p_old.mode = 'pull' then
    -- What was first may be in the lane that was read, and nobody made the next one due: the next claim does.
    insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) values (p_old.tenant_id, p_old.id, '');
  end if;
  -- Nothing was signed so far.
  return case when _mode = 'push' and p_old.mode = 'pull' and p_old.signing <> 'v1a' then plinth_webhooks.add_secret(p_old.id, null, interval '24 hours') end;
end
$$;
comment on function plinth_webhooks.set_mode(plinth_webhooks.subscriptions, text, text) is 'Makes a subscription pushed to a URL or pulled; what waits goes the new way. Returns the secret that one that becomes pushed gets. CloudEvents of one that is pulled are structured. Errors: webhooks_mode_invalid, webhooks_url_invalid.';
