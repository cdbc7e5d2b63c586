-- The time of the event, so that ids stay in order, and 72 bits of a hash: whoever sends this event to this subscription again, years later
-- too, does so under the same webhook-id, and nobody has to look up which one that was.
create or replace function plinth_webhooks.delivery_id(p_subscription_id uuid, p_event_id uuid) returns uuid
language sql immutable strict parallel safe
return overlay(overlay(overlay(md5(p_subscription_id::text || p_event_id::text) placing left(replace(p_event_id::text, '-', ''), 12) from 1) placing '7' from 13) placing '8' from 17)::uuid;
comment on function plinth_webhooks.delivery_id(uuid, uuid) is 'The webhook-id of an event for a subscription: always the same.';
