create or replace function plinth_webhooks.check_name(p_name text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if coalesce(length(p_name), 0) not between 1 and 200 then
    raise exception 'The name of a subscription has 1 to 200 characters' using errcode = 'PL400', detail = '{"code":"webhooks_name_invalid"}', hint = 'Give another name.';
  end if;
end
$$;
comment on function plinth_webhooks.check_name(text) is 'Raises webhooks_name_invalid for a name that is missing, empty or too long.';
