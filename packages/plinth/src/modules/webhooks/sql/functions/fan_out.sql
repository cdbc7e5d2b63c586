-- Runs in the transaction that moves the feed's cursor, so a delivery is made exactly once for an event and a subscription. The key
-- probe costs the matches, not the subscriptions. The payload is read here and not passed through the worker: a number that does
-- not fit a JavaScript number reaches the receiver as it was published.
create or replace function plinth_webhooks.fan_out(p_events jsonb) returns integer
language sql volatile security invoker set search_path = ''
as $$
  with event as materialized (
    select e.* from jsonb_to_recordset(p_events) as e (tenant_id uuid, id uuid, type text, correlation_id uuid, place integer)
  ), hit as materialized (
    select e.tenant_id, e.id, e.type, e.correlation_id, e.place, s.id as subscription_id, s.filter_path, s.transform
    from (select distinct e.tenant_id, e.type from event e) t
    cross join lateral plinth_webhooks.matching(t.tenant_id, t.type) s
    join event e on e.tenant_id = t.tenant_id and e.type = t.type
  ), body as materialized (
    -- The document only where a filter or transform asks for it: most deliveries carry the body as it is.
    select h.place, plinth_webhooks.body_of(h.type, coalesce(p.occurred_at, p.created_at), p.payload::jsonb) as text, case when h.looks then plinth_webhooks.document_of(p) end as document
    from (select h.place, h.tenant_id, h.id, h.type, bool_or(h.filter_path is not null or h.transform is not null) as looks from hit h group by 1, 2, 3, 4) h
    join plinth_events.events p on p.tenant_id = h.tenant_id and p.id = h.id
  ), made as (
    insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_id, event_type, body, correlation_id, causation_id)
    select h.tenant_id, h.subscription_id, h.id, h.type, case when h.transform is null then b.text else plinth_webhooks.transform_body(b.document, h.transform) end, h.correlation_id, h.id
    from hit h join body b on b.place = h.place
    where plinth_webhooks.wants(h.filter_path, b.document)
    order by h.place, h.subscription_id
    returning 1
  )
  select count(*)::integer from made
$$;
comment on function plinth_webhooks.fan_out(jsonb) is 'Makes a delivery for every event, [{tenant_id, id, type, correlation_id, place}], and every enabled subscription of its tenant with a pattern that matches and a filter that lets it through. Returns how many.';
