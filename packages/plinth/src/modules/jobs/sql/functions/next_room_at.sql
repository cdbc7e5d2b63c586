create or replace function plinth_jobs.next_room_at() returns timestamptz
language sql volatile security definer set search_path = ''
as $$
  select plinth_kernel.require_worker();
  select least(
    (select min(r.next_at) from plinth_jobs.rates r where r.next_at > (select clock_timestamp())),
    (select min(p.ends_at) from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp()) and p.ends_at < 'infinity'))
$$;
comment on function plinth_jobs.next_room_at() is 'When the next rate allows another start or the next pause ends; null: no rate or pause is in the way. For plinth_worker.';
