-- The lock is taken by the session that calls, and it is free the moment the server sees that session end.
create or replace function plinth_jobs.register_worker(p_worker text, p_name text, p_lease interval, p_session_lock bigint default null, p_kinds text[] default null,
  p_queues text[] default null) returns void
language sql volatile security definer set search_path = ''
as $$
  select plinth_kernel.require_worker();
  insert into plinth_jobs.uptime (one) select true where not exists (select from plinth_jobs.uptime) on conflict do nothing;
  insert into plinth_jobs.workers as w (id, name, lease, session_lock, kinds, queues) values (p_worker, p_name, p_lease, p_session_lock, p_kinds, p_queues)
  on conflict (id) do update set beat_at = clock_timestamp(), lease = excluded.lease, session_lock = excluded.session_lock, kinds = excluded.kinds, queues = excluded.queues
$$;
comment on function plinth_jobs.register_worker(text, text, interval, bigint, text[], text[]) is 'Makes a worker known. p_session_lock: key of the advisory lock that its session holds, so that its death is noticed at once. p_kinds, p_queues: what it takes, for plinth.explain_job; null: any.';
