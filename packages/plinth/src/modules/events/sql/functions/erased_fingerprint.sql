-- What was encrypted under a key that is gone cannot be compared any more, and comes as the tombstone when it is repeated. The text of jsonb has one form, and inside
-- a string the quotes would be escaped, so that the pattern finds encrypted fields and nothing that only looks like one.
create or replace function plinth_events.erased_fingerprint(p_key text) returns bytea
language sql stable security invoker
begin atomic
  with stored as (
    select i.nth, e.type, e.payload::text as text, e.aggregate_type, e.aggregate_id
    from plinth_events.dedup as d
    cross join lateral unnest(coalesce(d.event_ids, array[d.event_id])) with ordinality as i (id, nth)
    join plinth_events.events as e on e.tenant_id = d.tenant_id and e.id = i.id
    where d.tenant_id = plinth_kernel.tenant_id() and d.key = p_key
  ), erased as (
    select string_agg(k.id::text, '|') as ids from plinth_events.subject_keys as k
    where k.tenant_id = plinth_kernel.tenant_id() and k.erased_at is not null
      and k.id in (select m[1]::uuid from stored as s cross join regexp_matches(s.text, '\{"\$encrypted": "1\.([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.', 'g') as m)
  ), shredded as (
    select s.nth, jsonb_build_array(s.type, case when e.ids is null then s.text
      else regexp_replace(s.text, '\{"\$encrypted": "1\.(' || e.ids || ')\.[A-Za-z0-9_-]+"\}', '{"$shredded": true}', 'g') end::jsonb, s.aggregate_type, s.aggregate_id) as content
    from stored as s cross join erased as e
  )
  select sha256(convert_to((case when count(*) = 1 then jsonb_agg(s.content) -> 0 else jsonb_agg(s.content order by s.nth) end)::text, 'UTF8')) from shredded as s;
end;
comment on function plinth_events.erased_fingerprint(text) is
  'What an idempotency key stands for now that subjects were erased: plinth_events.keys_of of the stored events, with the tombstone in the fields of those subjects.';
