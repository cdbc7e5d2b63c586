-- Receipts are read before anything else, so that a bad one is refused whatever the plan; messages are locked in the order of their ids, so
-- that two who acknowledge the same ones do not wait for each other in a circle.
create or replace function plinth.acknowledge_messages(p_receipts text[]) returns setof text
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _ids uuid[];
  _receives integer[];
  _held integer := 0;
  _gone integer;
begin
  select array_agg(r.id order by r.id), array_agg(r.receives order by r.id) into _ids, _receives
  from (select distinct g from unnest(p_receipts) g) as u (receipt) cross join lateral plinth_queue.receipt_of(u.receipt) as r;
  -- Twice, if some are missing: one that was extended while the first look waited for it is found at its old place no more.
  for _look in 1 .. 2 loop
    return query
    with locked as materialized (
      select k.place from unnest(_ids, _receives) as g (id, receives) cross join lateral (
        select h.ctid as place from plinth_queue.hidden h where h.tenant_id = _tenant and h.id = g.id and h.receives = g.receives and h.held limit 1 for update) k
    ), gone as (
      delete from plinth_queue.hidden h using locked l where h.ctid = l.place returning h.tenant_id, h.id, h.receives
    )
    insert into plinth_queue.done as d (tenant_id, id, outcome, receives) select g.tenant_id, g.id, 'completed', g.receives from gone g
    returning d.id || '.' || d.receives;
    get diagnostics _gone = row_count;
    _held := _held + _gone;
    exit when _held = cardinality(_ids);
  end loop;
end
$$;
comment on function plinth.acknowledge_messages(text[]) is
  'Acknowledges messages in the transaction of the caller: they will not be received again. Returns the receipts that held; those that are missing had lost their message to another receiver, and whoever did their work must roll back. Errors: kernel_tenant_required, queue_receipt_invalid.';
