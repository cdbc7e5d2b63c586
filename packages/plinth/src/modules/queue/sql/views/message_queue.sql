create or replace view plinth.message_queue with (security_invoker = true) as
select m.id, m.tenant_id, m.queue::text as queue,
  case
    when d.id is not null then d.outcome::text
    when x.id is not null then 'failed'
    when h.id is null or h.visible_at <= statement_timestamp() then 'pending'
    when h.held then 'processing'
    else 'scheduled'
  end as status,
  m.payload, m.headers::jsonb as headers, m.group_key::text as group_key, m.deduplication_key::text as deduplication_key,
  coalesce(d.receives, x.receives, h.receives, 0) as receives, h.visible_at, coalesce(x.error, h.error) as error,
  m.created_at, coalesce(d.created_at, x.dead_at) as finished_at, m.actor_type, m.actor_id, m.correlation_id, m.causation_id, m.xact
from plinth_queue.messages m
left join plinth_queue.done d on d.tenant_id = m.tenant_id and d.id = m.id
left join plinth_queue.dead x on x.tenant_id = m.tenant_id and x.id = m.id
left join plinth_queue.hidden h on h.tenant_id = m.tenant_id and h.id = m.id;
comment on view plinth.message_queue is
  'Messages of the tenant: pending (may be received), processing (in flight until visible_at), scheduled (delayed or released until visible_at), failed (dead letters), completed, expired and purged. Kept for 30 days. Receive with plinth.receive_messages.';
