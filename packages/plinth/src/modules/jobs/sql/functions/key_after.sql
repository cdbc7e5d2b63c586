-- One tenant may have more lanes than all others together, and those that come first may never run dry: so after some in order there are some from
-- a place by chance, between this key and the last one. What both begin with is kept, for keys often have a common prefix.
create or replace function plinth_jobs.key_after(p_queue text, p_priority smallint, p_tenant uuid, p_key text, p_place integer) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _last text;
  _same integer;
  _low integer;
  _high integer;
  _code integer;
begin
  if p_place >= 256 then
    -- Longer than a key may be, of the last character there is: after every key.
    return repeat(chr(1114111), 201);
  elsif p_place <> 128 then
    return p_key;
  end if;
  select r.concurrency_key into _last from plinth_jobs.jobs_ready r where r.queue = p_queue and r.priority = p_priority and r.tenant_id = p_tenant
  order by r.queue desc, r.priority desc, r.tenant_id desc, r.concurrency_key desc limit 1;
  select count(*) into _same from generate_series(1, least(length(p_key), length(_last))) n where left(p_key, n) = left(_last, n);
  _low := coalesce(ascii(nullif(substr(p_key, _same + 1, 1), '')), 32);
  _high := greatest(_low, coalesce(ascii(nullif(substr(_last, _same + 1, 1), '')), 32));
  _code := _low + floor(random() * (_high - _low + 1))::integer;
  -- 55296 to 57343 are no characters.
  return greatest(p_key collate "C", left(p_key, _same) || chr(case when _code between 55296 and 57343 then 55295 else _code end) || substr(md5(random()::text), 1, 8));
end
$$;
comment on function plinth_jobs.key_after(text, smallint, uuid, text, integer) is
  'After which concurrency key to look on, having seen p_place lanes of one queue, priority and tenant up to p_key: 128 in order, then 128 from a place by chance, then no more.';
