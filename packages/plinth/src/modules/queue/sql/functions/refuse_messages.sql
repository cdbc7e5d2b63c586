-- Looks for the first message that cannot be written and says what is wrong with it; called only for rows that ask for more than a payload,
-- and when a plain insert failed.
create or replace function plinth_queue.refuse_messages(p_rows jsonb) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _wrong record;
begin
  select f.fault, e.n into _wrong
  from rows from (jsonb_to_recordset(p_rows) as (queue text, payload jsonb, headers jsonb, group_key text, deduplication_key text, delay_ms double precision))
    with ordinality as e (queue, payload, headers, group_key, deduplication_key, delay_ms, n)
  left join plinth_queue.queues q on q.tenant_id = plinth_kernel.tenant_id() and q.name = e.queue
  cross join lateral (select case
    when coalesce(e.queue, '') !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' then 'a queue is named by 1 to 100 letters, digits, dots, dashes and underscores'
    when e.payload is null then 'a message needs a payload'
    when jsonb_typeof(e.headers) <> 'object' then 'the headers of a message are a JSON object'
    when length(e.group_key) not between 1 and 200 then 'a group key has 1 to 200 characters'
    when length(e.deduplication_key) not between 1 and 500 then 'a deduplication key has 1 to 500 characters'
    when e.delay_ms < 0 or e.delay_ms > 1209600000 then 'a delay is from 0 to 14 days'
    when e.delay_ms > 0 and e.group_key is not null then 'a message of a group cannot be delayed, because the group would wait for it'
    when q.fifo and e.group_key is null then format('queue %s is first in, first out: every message needs a group key', e.queue)
  end as fault) as f
  where f.fault is not null order by e.n limit 1;
  if found then
    raise exception 'Message % of % is not valid: %', _wrong.n, jsonb_array_length(p_rows), _wrong.fault using errcode = 'PL422',
      detail = jsonb_build_object('code', 'queue_message_invalid', 'row', _wrong.n)::text, hint = 'Correct the argument that is named.';
  end if;
end
$$;
comment on function plinth_queue.refuse_messages(jsonb) is 'Error queue_message_invalid for the first of the messages that is not valid; nothing when all are.';
