-- A batch is the events that one idempotency key was given for; an event without a batch is one of its own. The fingerprint of one event is
-- that of plinth_events.fingerprint, so that it does not matter which way it was written.
create or replace function plinth_events.keys_of(p_rows jsonb) returns table (key text, ids uuid[], fingerprint bytea, nth bigint)
language sql immutable security invoker
begin atomic
  select r.idempotency_key, array_agg(r.id order by r.nth),
    sha256(convert_to((case when count(*) = 1 then jsonb_agg(c.content) -> 0 else jsonb_agg(c.content order by r.nth) end)::text, 'UTF8')), min(r.nth)
  from rows from (jsonb_to_recordset(p_rows) as (id uuid, type text, payload jsonb, aggregate_type text, aggregate_id text, idempotency_key text, batch uuid)) with ordinality
    as r (id, type, payload, aggregate_type, aggregate_id, idempotency_key, batch, nth)
  cross join lateral (select jsonb_build_array(r.type, r.payload, r.aggregate_type, r.aggregate_id) as content) as c
  where r.idempotency_key is not null and r.type is not null
  group by r.idempotency_key, coalesce(r.batch, r.id);
end;
comment on function plinth_events.keys_of(jsonb) is 'Idempotency keys of rows to be written, each with the events that it stands for and the fingerprint of their content.';
