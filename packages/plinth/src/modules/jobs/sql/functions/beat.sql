-- One row a process, not one a job, and written only when it has aged, however often the process claims.
create or replace function plinth_jobs.beat(p_worker text, p_lease interval default interval '15 seconds', p_claims boolean default false, p_kinds text[] default null,
  p_queues text[] default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- A caller confined to a tenant is known under a name that begins with it, so that nobody can pass for another.
  _worker text := coalesce(plinth_kernel.acting_tenant()::text || ':', '') || p_worker;
begin
  if exists (select from plinth_jobs.workers w where w.id = _worker and w.lease = p_lease and w.beat_at between clock_timestamp() - p_lease / 10 and clock_timestamp()
    and (not p_claims or ((w.kinds is null or p_kinds <@ w.kinds) and (w.queues is null or p_queues <@ w.queues)))) then
    return;
  end if;
  insert into plinth_jobs.uptime (one) select true where not exists (select from plinth_jobs.uptime) on conflict do nothing;
  insert into plinth_jobs.workers as w (id, name, lease, kinds, queues) values (_worker, p_worker, p_lease, p_kinds, p_queues)
  on conflict (id) do update set beat_at = clock_timestamp(), lease = excluded.lease,
    kinds = case when not p_claims then w.kinds when w.kinds is not null and p_kinds is not null then array(select unnest(w.kinds) union select unnest(p_kinds)) end,
    queues = case when not p_claims then w.queues when w.queues is not null and p_queues is not null then array(select unnest(w.queues) union select unnest(p_queues)) end;
  -- Who works by SQL alone cannot be relied upon to say which claims are over, and its claims would be kept for as long as it lives. By chance, so
  -- that a thousand whose jobs are long do not hide the rest.
  perform plinth_jobs.close_ended(array(select c.id from plinth_jobs.claims c where c.worker = _worker order by random() limit 1000));
end
$$;
comment on function plinth_jobs.beat(text, interval, boolean, text[], text[]) is 'A sign of life: the worker keeps its jobs for another p_lease, by the clock of the database. Registers a worker that is new, and forgets its claims that are over. p_worker is a name that no other process has, and another one after each start and after a claim whose answer was lost: the jobs of a name stay its own for as long as anybody beats under it. p_claims: it claims these kinds from these queues (null: all), for plinth.explain_job, as plinth_jobs.claim tells.';
