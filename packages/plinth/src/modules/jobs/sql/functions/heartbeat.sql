create or replace function plinth_jobs.heartbeat(p_worker text) returns table (run_id uuid)
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform plinth_kernel.require_worker();
  update plinth_jobs.workers w set beat_at = clock_timestamp() where w.id = p_worker;
  if not found then
    raise exception 'Worker % was given up: its jobs run elsewhere', p_worker using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_lease_lost', 'worker', p_worker)::text, hint = 'Stop what runs and register again under a new id.';
  end if;
  return query select c.run_id from plinth_jobs.cancel_requests c where c.worker = p_worker;
end
$$;
comment on function plinth_jobs.heartbeat(text) is 'A sign of life of a registered worker. Returns the attempts of its that should stop. Error: jobs_lease_lost when it was given up.';
