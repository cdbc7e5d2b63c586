-- Deletes what settle has locked, by its place in the table. A function of its own for its settings: with no index to begin with, the plan is the same
-- whatever the statistics of tables that fill and empty all day say.
create or replace function plinth_webhooks.remove_settled(p_flights tid[], p_deliveries tid[]) returns void
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
  delete from plinth_webhooks.flights f where f.ctid = any (p_flights);
  delete from plinth_webhooks.deliveries d where d.ctid = any (p_deliveries);
end
$$;
comment on function plinth_webhooks.remove_settled(tid[], tid[]) is 'Deletes leases and deliveries that this transaction has locked, by their ctid.';
