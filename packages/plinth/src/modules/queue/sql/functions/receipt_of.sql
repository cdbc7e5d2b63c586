create or replace function plinth_queue.receipt_of(p_receipt text, out id uuid, out receives integer)
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if coalesce(p_receipt, '') !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.[0-9]{1,9}$' then
    raise exception 'This is not a receipt' using errcode = 'PL422', detail = '{"code":"queue_receipt_invalid"}', hint = 'Pass the receipt that receive_messages returned, as it is.';
  end if;
  id := split_part(p_receipt, '.', 1)::uuid;
  receives := split_part(p_receipt, '.', 2)::integer;
end
$$;
comment on function plinth_queue.receipt_of(text) is 'The message of a receipt, and which receive it is of. Error queue_receipt_invalid.';
