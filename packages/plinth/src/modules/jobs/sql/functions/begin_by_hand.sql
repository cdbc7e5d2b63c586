-- Before an UPDATE of plinth.background_jobs moves a row to jobs_run. There the run_id tells the day, and that of a job which nobody has claimed yet is from when it was
-- enqueued: of a day whose partition may be gone, or goes soon. Claims and completions move no row by UPDATE and never come here.
create or replace function plinth_jobs.begin_by_hand() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if new.status in ('processing', 'completed', 'cancelled') and new.run_id = old.run_id then
    new.run_id := plinth_kernel.uuid_v7();
  end if;
  return new;
end
$$;
comment on function plinth_jobs.begin_by_hand() is 'Trigger: a job that somebody takes or ends by UPDATE has the run_id of today.';
