create or replace function plinth_webhooks.read_pulled(p_subscription_id uuid, p_after bigint, p_limit integer, p_bytes bigint)
returns table ("position" bigint, delivery_id uuid, event_id uuid, event_type text, body text)
language sql stable security invoker set search_path = ''
as $$
  with page as (
    select m.position, m.delivery_id, m.event_id, m.event_type, m.body from plinth_webhooks.pulled_messages m
    where m.tenant_id = plinth_kernel.require_tenant() and m.subscription_id = p_subscription_id and m.position > p_after order by m.position limit p_limit
  ), sized as (
    select p.*, sum(octet_length(p.body)) over (order by p.position) - octet_length(p.body) as before from page p
  )
  select z.position, z.delivery_id, z.event_id, z.event_type, z.body from sized z where z.before < p_bytes order by z.position
$$;
comment on function plinth_webhooks.read_pulled(uuid, bigint, integer, bigint) is 'Messages of a pulled subscription after a position, oldest first: at most p_limit, and about p_bytes.';
