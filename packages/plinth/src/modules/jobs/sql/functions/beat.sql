-- One row a process, not one a job, and written only when it has aged, however often the process claims.
create or replace function plinth_jobs.beat(p_worker text, p_lease interval default interval '15 seconds') returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- A caller confined to a tenant is known under a name that begins with it, so that nobody can pass for another.
  _worker text := coalesce(plinth_kernel.acting_tenant()::text || ':', '') || p_worker;
begin
  if exists (select from plinth_jobs.workers w where w.id = _worker and w.lease = p_lease and w.beat_at between clock_timestamp() - p_lease / 10 and clock_timestamp()) then
    return;
  end if;
  insert into plinth_jobs.uptime (one) select true where not exists (select from plinth_jobs.uptime) on conflict do nothing;
  insert into plinth_jobs.workers as w (id, name, lease) values (_worker, p_worker, p_lease)
  on conflict (id) do update set beat_at = clock_timestamp(), lease = excluded.lease;
  -- Who works by SQL alone cannot be relied upon to say which claims are over, and its claims would be kept for as long as it lives. By chance, so
  -- that a thousand whose jobs are long do not hide the rest.
  perform plinth_jobs.close_ended(array(select c.id from plinth_jobs.claims c where c.worker = _worker order by random() limit 1000));
end
$$;
comment on function plinth_jobs.beat(text, interval) is 'A sign of life: the worker keeps its jobs for another p_lease, by the clock of the database. Registers a worker that is new, and forgets its claims that are over. p_worker is a name that no other process has, and another one after each start and after a claim whose answer was lost: the jobs of a name stay its own for as long as anybody beats under it.';
