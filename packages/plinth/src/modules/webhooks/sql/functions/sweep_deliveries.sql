-- Deliveries have no foreign key to subscriptions: each insert would lock the subscription, and the fan-out of all tenants would wait for whoever is deleting
-- or renaming one. What was made while a subscription was being deleted is never claimed; it leaves here, and so do notes about its keys. Looks once at each
-- subscription with deliveries. What somebody holds is for the next time.
create or replace function plinth_webhooks.sweep_deliveries() returns integer
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_sort = off
as $$
declare
  _swept integer;
begin
  with recursive lane as (
    (select d.tenant_id, d.subscription_id from plinth_webhooks.deliveries d order by d.tenant_id, d.subscription_id limit 1)
    union all
    select n.tenant_id, n.subscription_id from lane l cross join lateral (
      select d.tenant_id, d.subscription_id from plinth_webhooks.deliveries d where (d.tenant_id, d.subscription_id) > (l.tenant_id, l.subscription_id)
      order by d.tenant_id, d.subscription_id limit 1) n
  ), gone as materialized (
    select l.tenant_id, l.subscription_id from lane l
    where not exists (select from plinth_webhooks.subscriptions s where s.tenant_id = l.tenant_id and s.id = l.subscription_id)
  ), held as materialized (
    select d.tenant_id, d.id from gone g cross join lateral (
      select d.tenant_id, d.id from plinth_webhooks.deliveries d where d.tenant_id = g.tenant_id and d.subscription_id = g.subscription_id for update skip locked) d
  )
  delete from plinth_webhooks.deliveries d using held h where d.tenant_id = h.tenant_id and d.id = h.id;
  get diagnostics _swept = row_count;
  delete from plinth_webhooks.held_back h where not exists (select from plinth_webhooks.subscriptions s where s.tenant_id = h.tenant_id and s.id = h.subscription_id);
  return _swept;
end
$$;
comment on function plinth_webhooks.sweep_deliveries() is 'Deletes deliveries whose subscription was deleted while they were made. Run by the dispatcher at its start and once an hour; returns how many.';
