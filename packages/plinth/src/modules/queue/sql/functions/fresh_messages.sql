-- Takes the deduplication keys of the messages. Rows are taken in the order of their keys, so that two senders cannot wait for each other.
create or replace function plinth_queue.fresh_messages(p_rows jsonb) returns jsonb
language sql volatile security invoker set search_path = ''
as $$
  with given as materialized (
    select e.row, e.n, (e.row ->> 'id')::uuid as id, e.row ->> 'queue' as queue, e.row ->> 'deduplication_key' as key
    from jsonb_array_elements(p_rows) with ordinality as e (row, n)
  ), first as (
    select distinct on (g.queue, g.key) g.* from given g where g.key is not null order by g.queue, g.key, g.n
  ), taken as (
    insert into plinth_queue.deduplication as d (tenant_id, queue, key, message_id, expires_at)
    select plinth_kernel.require_tenant(), f.queue, f.key, f.id, clock_timestamp() + coalesce(q.deduplication_window_ms, 300000) * interval '1 millisecond'
    from first f left join plinth_queue.queues q on q.tenant_id = plinth_kernel.tenant_id() and q.name = f.queue
    order by f.queue, f.key
    on conflict (tenant_id, queue, key) do update set message_id = excluded.message_id, expires_at = excluded.expires_at
    where d.expires_at <= clock_timestamp()
    returning d.message_id
  )
  select coalesce(jsonb_agg(g.row order by g.n), '[]') from given g where g.key is null or g.id in (select t.message_id from taken t)
$$;
comment on function plinth_queue.fresh_messages(jsonb) is 'Those of the messages whose deduplication key is none or was not used within its window; their keys are taken.';
