-- Each number costs a look at 1,000 rows, by the index (consumer, status, position).
create or replace function plinth_events.aside_of(p_consumer text)
returns table (parked bigint, waiting bigint, oldest timestamptz, failures integer, failing_since timestamptz, last_error text, retry_at timestamptz, shards smallint[])
language sql stable security invoker rows 1 set search_path = ''
as $$
  select (select count(*) from (select from plinth_events.parked as p where p.consumer = p_consumer and p.status in ('parked', 'due') and p.ended_at is null limit 1000) as p),
    f.count + w.count, least(f.oldest, w.oldest), coalesce(f.attempts, 0), f.oldest, f.error, f.retry_at, f.shards
  from (
    select count(*) as count, min(p.created_at) as oldest, max(p.attempts) as attempts, (array_agg(p.error order by p.updated_at desc) filter (where p.error is not null))[1] as error,
      min(p.retry_at) as retry_at, coalesce(array_agg(distinct p.shard), '{}') as shards
    from (select * from plinth_events.parked as p where p.consumer = p_consumer and p.status = 'failing' and p.ended_at is null order by p.position limit 1000) as p) as f
  cross join (
    select count(*) as count, min(p.created_at) as oldest
    from (select p.created_at from plinth_events.parked as p where p.consumer = p_consumer and p.status = 'waiting' and p.ended_at is null order by p.position limit 1000) as p) as w
$$;
comment on function plinth_events.aside_of(text) is 'What was put aside for a consumer, of what the acting role may see: parked, and failing or waiting for one that fails; at most 1,000 of each are counted.';
