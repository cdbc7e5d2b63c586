create or replace function plinth_kernel.require_worker() returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  if not plinth_kernel.is_worker() then
    raise exception 'Only plinth_worker may do this' using errcode = 'PL403', detail = '{"code":"kernel_forbidden"}', hint = 'Begin the transaction with SET LOCAL ROLE plinth_worker.';
  end if;
end
$$;
comment on function plinth_kernel.require_worker() is 'Error kernel_forbidden unless the acting role serves all tenants.';
