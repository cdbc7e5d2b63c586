-- when installed: webhooks
-- The view belongs to a module that an installation may lack, hence the look-up by name.
create or replace function plinth_maintenance.review_webhooks() returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _report jsonb;
begin
  if pg_catalog.to_regclass('plinth.event_delivery_log') is null then
    return jsonb_build_object('installed', false);
  end if;
  execute $sql$
    select jsonb_build_object('installed', true, 'since', now() - interval '7 days', 'subscriptions', coalesce(jsonb_agg(to_jsonb(s) order by s.failure_percent desc), '[]'))
    from (
      select l.tenant_id, l.subscription_id, count(*) as attempts, count(*) filter (where l.status = 'failed') as failed,
        round(100.0 * count(*) filter (where l.status = 'failed') / count(*), 1) as failure_percent
      from plinth.event_delivery_log as l where l.id >= plinth_kernel.v7_floor(now() - interval '7 days')
      group by l.tenant_id, l.subscription_id having count(*) filter (where l.status = 'failed') > 0
      order by 5 desc limit 100) as s
  $sql$ into _report;
  return _report;
end
$$;
comment on function plinth_maintenance.review_webhooks() is 'Failure rates of webhook subscriptions in the last 7 days, the worst 100; {"installed": false} without webhooks. For plinth_reader.';
