-- Only the form. Which hosts may really be called is decided when they are called, by the egress policy of the installation.
create or replace function plinth_webhooks.check_url(p_url text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  if p_url is null or length(p_url) > 2000 or p_url !~* '^https?://[^\s/?#@]+([/?#]\S*)?$' then
    raise exception '% is not the URL of a webhook', coalesce(quote_literal(left(regexp_replace(p_url, '//[^/@]*@', '//...@'), 200)), 'null') using errcode = 'PL400',
      detail = '{"code":"webhooks_url_invalid"}', hint = 'Give an absolute URL such as https://example.com/hooks, without user name or password, at most 2,000 characters.';
  end if;
end
$$;
comment on function plinth_webhooks.check_url(text) is 'Raises webhooks_url_invalid for anything but an absolute http or https URL without user name.';
