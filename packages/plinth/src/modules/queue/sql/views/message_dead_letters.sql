create or replace view plinth.message_dead_letters with (security_invoker = true) as
select x.id, x.tenant_id, x.queue, x.receives, x.error, x.dead_at, m.payload, m.headers::jsonb as headers, m.group_key::text as group_key, m.created_at, m.correlation_id, m.causation_id
from plinth_queue.dead x
left join plinth_queue.messages m on m.tenant_id = x.tenant_id and m.id = x.id;
comment on view plinth.message_dead_letters is 'Messages that were given up. plinth.redrive_messages puts them back; they leave after 14 days.';
