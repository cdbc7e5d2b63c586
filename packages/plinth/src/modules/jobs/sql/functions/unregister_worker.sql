create or replace function plinth_jobs.unregister_worker(p_worker text) returns void
language sql volatile security definer set search_path = ''
as $$
  select plinth_kernel.require_worker();
  delete from plinth_jobs.workers w where w.id = p_worker and not exists (select from plinth_jobs.claims c where c.worker = p_worker)
$$;
comment on function plinth_jobs.unregister_worker(text) is 'A worker that has settled everything leaves. One that has not stays, so that its jobs are taken back.';
