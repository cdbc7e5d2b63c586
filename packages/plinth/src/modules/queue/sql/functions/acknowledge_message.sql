create or replace function plinth.acknowledge_message(p_receipt text) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _r record := plinth_queue.receipt_of(p_receipt);
begin
  delete from plinth_queue.hidden h where h.tenant_id = _tenant and h.id = _r.id and h.receives = _r.receives and h.held;
  if not found then
    perform plinth_queue.refuse_receipt(_r.id, _r.receives);
  end if;
  insert into plinth_queue.done (tenant_id, id, outcome, receives) values (_tenant, _r.id, 'completed', _r.receives);
  return _r.id;
end
$$;
comment on function plinth.acknowledge_message(text) is
  'Acknowledges a message in the transaction of the caller and returns its id: it will not be received again. With the work in the same transaction its effects happen exactly once. Errors: kernel_tenant_required, queue_receipt_invalid, queue_receipt_lost.';
