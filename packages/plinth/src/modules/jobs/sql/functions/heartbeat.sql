create or replace function plinth_jobs.heartbeat(p_worker text, out cancelled uuid[], out deaths boolean, out paused jsonb)
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off
as $$
begin
  perform plinth_kernel.require_worker();
  update plinth_jobs.workers w set beat_at = clock_timestamp() where w.id = p_worker;
  if not found then
    raise exception 'Worker % was given up: its jobs run elsewhere', p_worker using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_lease_lost', 'worker', p_worker)::text, hint = 'Stop what runs and register again under a new id.';
  end if;
  -- A beat of the future is from before the clock was set back: its worker, dead since, would count as alive until that time comes again.
  update plinth_jobs.workers w set beat_at = clock_timestamp() from (
    select f.id from plinth_jobs.workers f where f.beat_at > clock_timestamp() + interval '1 second' for update skip locked) f
  where w.id = f.id;
  insert into plinth_jobs.uptime (one) select true where not exists (select from plinth_jobs.uptime) on conflict do nothing;
  select coalesce(array_agg(c.run_id), '{}') into cancelled from plinth_jobs.cancel_requests c where c.worker = p_worker;
  -- It gives back what it fetched ahead when it hears of a pause first, so older ones tell it nothing.
  select jsonb_agg(to_jsonb(p)) into paused from (
    select p.tenant_id, p.queue, p.kind, p.concurrency_key from plinth_jobs.pauses p
    where p.ends_at > (select clock_timestamp()) and p.created_at > clock_timestamp() - interval '1 minute' limit 1000) p;
  -- A claim of nobody: its worker was removed while it was being written.
  deaths := exists (select from plinth_jobs.dead_workers()) or exists (select from plinth_jobs.claims c where not exists (select from plinth_jobs.workers w where w.id = c.worker));
end
$$;
comment on function plinth_jobs.heartbeat(text) is
  'A sign of life of a registered worker. cancelled: attempts of its that should stop; deaths: other workers have died, call plinth_jobs.recover; paused: pauses of the last minute, [{tenant_id, queue, kind, concurrency_key}], what was claimed before them and has not begun is to be given back. Error: jobs_lease_lost when it was given up itself.';
