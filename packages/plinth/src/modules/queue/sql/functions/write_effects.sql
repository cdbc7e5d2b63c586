-- Writes the messages that a transaction collected: [{id, queue, payload, ...}]. No lock on a shared row, no NOTIFY, no counter; only a
-- deduplication key waits, for a transaction that is open with the same key. The transaction id is taken before the positions are:
-- plinth_queue.advance_cursor depends on it.
create or replace function plinth_queue.write_effects(p_rows jsonb) returns void
language plpgsql volatile security invoker
as $$
declare
  _rows pg_catalog.jsonb := p_rows;
  _xact pg_catalog.xid8 := pg_catalog.pg_current_xact_id();
  -- An id has the clock of the program that made it. Where that is not about now, the retention counts from the clock of the database.
  _now pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  _least pg_catalog.uuid := plinth_kernel.v7_floor(_now - interval '5 seconds');
  _most pg_catalog.uuid := plinth_kernel.v7_floor(_now + interval '5 seconds');
begin
  perform plinth_queue.refuse_messages(_rows);
  if _rows @? '$[*].deduplication_key ? (@ != null)' then
    _rows := plinth_queue.fresh_messages(_rows);
  end if;
  with given as materialized (
    select c.tenant_id, c.actor_type, c.actor_id, c.correlation_id, coalesce(e.causation_id, c.causation_id) as causation_id,
      e.id, e.queue, e.payload, e.headers, e.group_key, e.deduplication_key, coalesce(e.delay_ms, 0) as delay_ms, e.n
    from plinth_kernel.current_context() as c
    cross join rows from (pg_catalog.jsonb_to_recordset(_rows) as (id uuid, queue text, payload jsonb, headers jsonb, group_key text, deduplication_key text,
      delay_ms double precision, causation_id uuid)) with ordinality as e (id, queue, payload, headers, group_key, deduplication_key, delay_ms, causation_id, n)
  ), body as (
    insert into plinth_queue.messages (tenant_id, id, queue, payload, headers, group_key, deduplication_key, actor_type, actor_id, correlation_id, causation_id)
    select g.tenant_id, g.id, g.queue, plinth_queue.checked_payload(g.payload, g.queue, coalesce(q.max_payload_bytes, 262144)), g.headers, g.group_key, g.deduplication_key,
      g.actor_type, g.actor_id, g.correlation_id, g.causation_id
    from given g left join plinth_queue.queues q on q.tenant_id = g.tenant_id and q.name = g.queue
  ), delayed as (
    insert into plinth_queue.hidden (tenant_id, id, queue, visible_at, since)
    select g.tenant_id, g.id, g.queue, v.at, plinth_kernel.v7_floor(v.at)
    from given g cross join lateral (select pg_catalog.clock_timestamp() + g.delay_ms * interval '1 millisecond' as at) v where g.delay_ms > 0
  ), in_groups as (
    insert into plinth_queue.grouped (tenant_id, queue, group_no, position, id, since)
    select s.tenant_id, s.queue, pg_catalog.hashtextextended(s.group_key, 0), pg_catalog.nextval('plinth_queue.positions'), s.id,
      case when s.id not between _least and _most then plinth_kernel.v7_floor(_now) end
    from (select * from given g where g.delay_ms = 0 and g.group_key is not null order by g.n) s
  )
  insert into plinth_queue.ready (tenant_id, queue, position, id, since)
  select s.tenant_id, s.queue, pg_catalog.nextval('plinth_queue.positions'), s.id, case when s.id not between _least and _most then plinth_kernel.v7_floor(_now) end
  from (select * from given g where g.delay_ms = 0 and g.group_key is null order by g.n) s;
end
$$;
comment on function plinth_queue.write_effects(jsonb) is
  'Sends collected messages, [{id, queue, payload, headers, group_key, deduplication_key, delay_ms, causation_id}], for the tenant of the transaction.';
