create or replace function plinth_kernel.checked_limit(p_limit bigint, p_default bigint default null) returns bigint
language plpgsql immutable parallel safe set search_path = ''
as $$
begin
  if p_limit < 0 then
    raise exception 'There is no such limit as %', p_limit using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}', hint = 'Pass p_limit from 0 on, or leave it out.';
  end if;
  return coalesce(p_limit, p_default);
end
$$;
comment on function plinth_kernel.checked_limit(bigint, bigint) is 'How many rows a caller wants at most: p_default when that is null. Error: kernel_invalid_input, for less than 0.';
