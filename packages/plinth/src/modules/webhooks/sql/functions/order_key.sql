-- A path that was stored when more than plain ones could be is not evaluated: it could raise, or take minutes.
create or replace function plinth_webhooks.order_key(p_ordering text, p_path text, p_stream text, p_payload jsonb) returns text
language sql immutable parallel safe set search_path = ''
as $$
  select case when length(k.key) > 100 then md5(k.key) else k.key end
  from (select case p_ordering
    when 'fifo' then ''
    when 'fifo_by_key' then coalesce(case when p_path is null then p_stream
      when plinth_webhooks.is_plain_path(p_path) then jsonb_path_query_first(p_payload, p_path::jsonpath, '{}', true) #>> '{}' end, '')
  end as key) k
$$;
comment on function plinth_webhooks.order_key(text, text, text, jsonb) is
  'Key of a delivery in its lane: null in a parallel one, the empty text in a fifo one and where an event has no key, otherwise what p_path (or p_stream) gives; long ones hashed.';
