-- jsonb has one text for one value, so equal contents have equal fingerprints whatever the order of their keys.
create or replace function plinth_events.fingerprint(p_type text, p_payload jsonb, p_aggregate_type text, p_aggregate_id text) returns bytea
language sql immutable parallel safe
return sha256(convert_to(jsonb_build_array(p_type, p_payload, p_aggregate_type, p_aggregate_id)::text, 'UTF8'));
comment on function plinth_events.fingerprint(text, jsonb, text, text) is 'What an idempotency key stands for: type, payload and stream of its event.';
