create or replace function plinth_webhooks.refuse_transform(p_why text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
  raise exception 'The transform is not valid: %', p_why using errcode = 'PL400', detail = pg_catalog.jsonb_build_object('code', 'webhooks_transform_invalid', 'reason', p_why)::text,
    hint = 'Give an object with some of payload, omit, redact, rename, set, data and body, as the README of the module shows.';
end
$$;
comment on function plinth_webhooks.refuse_transform(text) is 'Raises webhooks_transform_invalid with the reason.';
