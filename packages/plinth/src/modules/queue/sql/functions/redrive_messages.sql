create or replace function plinth.redrive_messages(p_queue text, p_ids uuid[] default null, p_limit integer default 1000) returns setof uuid
language sql volatile security invoker set search_path = ''
as $$
  -- The transaction id before the positions: plinth_queue.advance_cursor depends on it; FOR UPDATE takes it.
  with picked as materialized (
    select d.id from plinth_queue.dead d
    where d.tenant_id = plinth_kernel.require_tenant() and d.queue = p_queue and (p_ids is null or d.id = any (p_ids)) and d.id >= (select s.gone from plinth_queue.settings_of(plinth_kernel.require_tenant(), p_queue) s)
    order by d.id limit plinth_kernel.checked_limit(p_limit, 1000) for update skip locked
  ), gone as (
    delete from plinth_queue.dead d using picked p where d.tenant_id = plinth_kernel.require_tenant() and d.id = p.id returning d.*
  ), sorted as materialized (
    select g.*, plinth_kernel.v7_floor(clock_timestamp()) as since from gone g order by g.id
  ), in_groups as (
    insert into plinth_queue.grouped (tenant_id, queue, group_no, position, id, receives, forgiven, since)
    select s.tenant_id, s.queue, s.group_no, nextval('plinth_queue.positions'), s.id, s.receives, s.receives, s.since from sorted s where s.group_no is not null returning id
  ), again as (
    insert into plinth_queue.ready (tenant_id, queue, position, id, receives, forgiven, since)
    select s.tenant_id, s.queue, nextval('plinth_queue.positions'), s.id, s.receives, s.receives, s.since from sorted s where s.group_no is null returning id
  )
  select id from in_groups union all select id from again
$$;
comment on function plinth.redrive_messages(text, uuid[], integer) is
  'Puts dead letters of a queue (those with p_ids, or the p_limit oldest) back to its end, to be received as often again; their retention counts from now. Returns their ids; a message that was sent 30 days ago is not there any more. Errors: kernel_tenant_required, kernel_invalid_input (p_limit below 0).';
