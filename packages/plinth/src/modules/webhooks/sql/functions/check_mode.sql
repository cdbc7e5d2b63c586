create or replace function plinth_webhooks.check_mode(p_mode text, p_url text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if p_mode is null or p_mode not in ('push', 'pull') or (p_mode = 'pull' and p_url is not null) then
    raise exception '%', case when p_mode = 'pull' then 'A subscription that is pulled has no URL' else 'There is no mode ' || coalesce(quote_literal(left(p_mode, 50)), 'null') end using errcode = 'PL400',
      detail = '{"code":"webhooks_mode_invalid"}', hint = 'Give push and a URL, or pull and none.';
  end if;
  if p_mode = 'push' then
    perform plinth_webhooks.check_url(p_url);
  end if;
end
$$;
comment on function plinth_webhooks.check_mode(text, text) is 'Raises webhooks_mode_invalid or webhooks_url_invalid for a mode and URL that do not go together.';
