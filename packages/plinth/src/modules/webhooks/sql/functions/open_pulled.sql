create or replace function plinth_webhooks.open_pulled(p_subscription_id uuid, p_after bigint default null)
returns table (tenant_id uuid, tail bigint, reveal boolean)
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
  _of record;
  _first bigint;
begin
  select s.mode, s.reveal, n.tail, n.read_to, n.read_at into _of from plinth_webhooks.subscriptions s
  left join plinth_webhooks.pull_lanes n on n.tenant_id = s.tenant_id and n.subscription_id = s.id
  where s.tenant_id = plinth_kernel.require_tenant() and s.id = p_subscription_id;
  if _of.mode is null then
    raise exception 'There is no subscription %', coalesce(p_subscription_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_subscription_not_found"}',
      hint = 'Check the id and the tenant; plinth.event_subscriptions lists them.';
  elsif _of.mode <> 'pull' then
    raise exception 'The subscription % is sent to, not read', p_subscription_id using errcode = 'PL409', detail = '{"code":"webhooks_not_pulled"}',
      hint = 'Read a subscription of mode pull; plinth.update_subscription(..., p_mode := ''pull'') makes this one such.';
  end if;
  if p_after < _of.tail then
    select m.position into _first from plinth_webhooks.pulled_messages m where m.tenant_id = plinth_kernel.tenant_id() and m.subscription_id = p_subscription_id order by m.position limit 1;
    if _first is null or _first > p_after + 1 then
      raise exception 'Messages after the offset are not kept any more' using errcode = 'PL410',
        detail = json_build_object('code', 'webhooks_offset_gone', 'first', coalesce(_first, _of.tail + 1), 'tail', _of.tail)::text, hint = 'Begin again at offset -1, the oldest that is kept, and replay what is missing.';
    end if;
  end if;
  if p_after > coalesce(_of.read_to, -1) and p_after <= _of.tail and (_of.read_at is null or _of.read_at < clock_timestamp() - interval '10 seconds') then
    -- A note for people: a reader does not wait for whoever appends.
    update plinth_webhooks.pull_lanes n set read_to = p_after, read_at = clock_timestamp()
    where (n.tenant_id, n.subscription_id) in (select w.tenant_id, w.subscription_id from plinth_webhooks.pull_lanes w
      where w.tenant_id = plinth_kernel.tenant_id() and w.subscription_id = p_subscription_id and p_after > coalesce(w.read_to, -1) for no key update skip locked);
  end if;
  return query select plinth_kernel.tenant_id(), _of.tail, _of.reveal;
end
$$;
comment on function plinth_webhooks.open_pulled(uuid, bigint) is 'Where the lane of a pulled subscription ends, for a reader that goes on after a position, and whether personal fields may be shown. Errors: webhooks_subscription_not_found, webhooks_not_pulled, webhooks_offset_gone.';
