-- Over HTTP the queue stands in the address, and a permission or a proxy may go by it. A receipt that holds no message is left to whom it is shown to next.
create or replace function plinth_queue.require_receipts_of(p_queue text, p_receipts text[]) returns void
language plpgsql stable security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _receipt text;
  _queue text;
begin
  select g.receipt, k.queue into _receipt, _queue
  from unnest(p_receipts) as g (receipt) cross join lateral plinth_queue.receipt_of(g.receipt) as r cross join lateral (
    select h.queue from plinth_queue.hidden h where h.tenant_id = _tenant and h.id = r.id and h.receives = r.receives and h.held limit 1) k
  where k.queue <> p_queue limit 1;
  if found then
    raise exception 'The receipt % is of the queue %, not of %', _receipt, _queue, p_queue using errcode = 'PL404',
      detail = jsonb_build_object('code', 'queue_receipt_not_found', 'queue', _queue)::text, hint = 'Show the receipt to the queue that its message was received from.';
  end if;
end
$$;
comment on function plinth_queue.require_receipts_of(text, text[]) is 'Passes where none of the receipts holds a message of another queue. Errors: queue_receipt_invalid, queue_receipt_not_found.';
