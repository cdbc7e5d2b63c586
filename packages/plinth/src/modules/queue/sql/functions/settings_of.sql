create or replace function plinth_queue.settings_of(p_tenant uuid, p_queue text)
returns table (visibility_ms integer, max_receives integer, oldest uuid, gone uuid)
language sql stable security invoker set search_path = ''
as $$
  select coalesce(q.visibility_ms, 30000), coalesce(q.max_receives, 5),
    plinth_kernel.v7_floor(clock_timestamp() - coalesce(q.retention_s, 345600) * interval '1 second'), plinth_kernel.v7_floor(clock_timestamp() - interval '30 days')
  from (values (1)) as one left join plinth_queue.queues q on q.tenant_id = p_tenant and q.name = p_queue
$$;
comment on function plinth_queue.settings_of(uuid, text) is 'What a receiver must know of a queue; the defaults where nobody configured it. A message that was sent, delayed until or redriven before oldest has expired; what was sent before gone is not there any more.';
