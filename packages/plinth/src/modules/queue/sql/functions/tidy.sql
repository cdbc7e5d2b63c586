-- Deletes deduplication keys whose window is over, and puts the cursors back to where the first messages stand: a safety net, so that no
-- message depends on a cursor alone.
create or replace function plinth_queue.tidy(p_limit integer default 10000) returns bigint
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _gone bigint;
begin
  with old as materialized (
    select d.tenant_id, d.queue, d.key from plinth_queue.deduplication d where d.expires_at < (select clock_timestamp()) order by d.expires_at limit p_limit for update skip locked
  )
  delete from plinth_queue.deduplication d using old o where d.tenant_id = o.tenant_id and d.queue = o.queue and d.key = o.key;
  get diagnostics _gone = row_count;
  delete from plinth_queue.cursors c using (
    select c.tenant_id, c.queue from plinth_queue.cursors c
    where exists (select from plinth_queue.ready r where r.tenant_id = c.tenant_id and r.queue = c.queue and r.position < c.position)
      or exists (select from plinth_queue.hidden h where h.tenant_id = c.tenant_id and h.queue = c.queue and h.visible_at < c.due_at)
    for update skip locked
  ) as wrong
  where c.tenant_id = wrong.tenant_id and c.queue = wrong.queue;
  return _gone;
end
$$;
comment on function plinth_queue.tidy(integer) is 'Sweeps deduplication keys whose window is over, at most p_limit, and checks the cursors. Returns how many keys went.';
