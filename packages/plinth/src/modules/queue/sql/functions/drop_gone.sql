-- Whoever receives removes such rows on the way; from a queue that nobody receives from they would never go. They carry an id and no time, so all are read.
create or replace function plinth_queue.drop_gone(p_limit integer default 10000) returns bigint
language sql volatile security invoker set search_path = ''
as $$
  with gone as materialized (
    select plinth_kernel.v7_floor(clock_timestamp() - interval '30 days') as id
  ), ready as (
    delete from plinth_queue.ready r where r.ctid = any (array(select x.ctid from plinth_queue.ready x where x.id < (select g.id from gone g) limit p_limit for update skip locked)) returning 1
  ), grouped as (
    delete from plinth_queue.grouped r where r.ctid = any (array(select x.ctid from plinth_queue.grouped x where x.id < (select g.id from gone g) limit p_limit for update skip locked)) returning 1
  ), hidden as (
    delete from plinth_queue.hidden r where r.ctid = any (array(select x.ctid from plinth_queue.hidden x where x.id < (select g.id from gone g) limit p_limit for update skip locked)) returning 1
  )
  select (select count(*) from ready) + (select count(*) from grouped) + (select count(*) from hidden)
$$;
comment on function plinth_queue.drop_gone(integer) is
  'Forgets messages that were sent 30 days ago, of which nothing is kept any more, where nobody receives: at most p_limit each that are ready, in groups and hidden. Returns how many.';
