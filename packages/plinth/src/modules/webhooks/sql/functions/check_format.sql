create or replace function plinth_webhooks.check_format(p_format text, p_mode text) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  _fault text := case
    when p_format is null or p_format not in ('standard', 'cloudevents-structured', 'cloudevents-binary') then 'There is no format ' || coalesce(quote_literal(left(p_format, 50)), 'null')
    when p_format = 'cloudevents-binary' and p_mode = 'pull' then 'A subscription that is pulled has no headers to hold the attributes of a CloudEvent'
  end;
begin
  if _fault is not null then
    raise exception '%', _fault using errcode = 'PL400', detail = '{"code":"webhooks_format_invalid"}',
      hint = 'Give standard, cloudevents-structured or, where it is sent, cloudevents-binary.';
  end if;
end
$$;
comment on function plinth_webhooks.check_format(text, text) is 'Raises webhooks_format_invalid for a format that is none, or that a subscription of this mode cannot have.';
