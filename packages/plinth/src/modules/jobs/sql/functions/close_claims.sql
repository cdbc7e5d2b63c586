-- Completions do not wait for the disk, so a crash of the database may undo some that the worker was told of, while their claim is closed on the
-- server that came back. A claim from before a crash therefore stays while one of its jobs is still running: its worker, which does not know
-- it any more, disowns it. Without a crash since, what the worker was told is so, and looking at every job would cost more than ending it.
create or replace function plinth_jobs.close_claims(p_claims uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant text := plinth_kernel.acting_tenant()::text;
begin
  delete from plinth_jobs.claims c where c.id = any (p_claims) and c.uptime = (select u.id from plinth_jobs.uptime u) and (_tenant is null or starts_with(c.worker, _tenant || ':'));
  perform plinth_jobs.close_ended(p_claims);
end
$$;
comment on function plinth_jobs.close_claims(uuid[]) is 'Forgets claims of which every job has ended.';
