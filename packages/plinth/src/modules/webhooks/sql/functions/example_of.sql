create or replace function plinth_webhooks.example_of(p_type text, p_public_only boolean) returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _type record;
begin
  select t.examples -> 0 as example, t.visibility into _type from (
    select o.examples, o.visibility, o.version, 1 as rank from plinth_events.types o where o.tenant_id = plinth_kernel.tenant_id() and o.name = p_type
    union all select c.examples, c.visibility, c.version, 2 from plinth_events.common_types c where c.name = p_type
    order by 4, 3 desc limit 1) t;
  if _type.example is null or p_public_only and _type.visibility <> 'public' then
    raise exception 'No test event of type % can be sent: %', quote_literal(left(p_type, 200)),
      case when _type.visibility is null then 'it is not registered' when p_public_only and _type.visibility <> 'public' then 'the subscription gets public types only' else 'its newest version has no example' end
      using errcode = 'PL422', detail = '{"code":"webhooks_test_type_invalid"}', hint = 'Give a type of plinth.event_types that has an example, or leave the type out.';
  end if;
  return _type.example;
end
$$;
comment on function plinth_webhooks.example_of(text, boolean) is 'The example payload of the newest version of an event type; of public types only, when a subscription gets no others. Errors: webhooks_test_type_invalid.';
