-- What waits for long (paused, at a cap, of a kind that nobody handles) keeps its slot from being emptied. With one such job in every slot there is none to open any more, and
-- the open one, which has consumed rows of everybody, would only grow. The few that are left in one slot go to the open one and keep their place in their lane; a
-- slot in which many wait is a backlog and stays. By DELETE and INSERT, as every move.
create or replace function plinth_jobs.gather_strays(p_most integer default 5000) returns bigint
language plpgsql volatile security definer set search_path = '' set jit = off
as $$
declare
  _open integer := (select s.last_value from plinth_jobs.open_slot s);
  _waiting integer[] := '{}';
  _count integer;
  _slot integer;
  _moved bigint := 0;
begin
  perform plinth_kernel.require_worker();
  for _n in 0 .. 3 loop
    execute format('select count(*) from (select from plinth_jobs.jobs_ready_%s limit %s) w', _n, p_most + 1) into _count;
    _waiting := _waiting || _count;
  end loop;
  for _slot in select w.n - 1 from unnest(_waiting) with ordinality as w (count, n) where w.n - 1 <> _open and w.count between 1 and p_most order by w.count loop
    execute format('with stray as materialized (
        select r.ctid as place from plinth_jobs.jobs_ready_%1$s r for update skip locked
      ), gone as (
        delete from plinth_jobs.jobs_ready_%1$s r using stray s where r.ctid = s.place returning r.*
      )
      insert into plinth_jobs.jobs_ready (tenant_id, id, seq, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, unique_key, linked, run_at, deadline, actor_type, actor_id,
        correlation_id, causation_id, xact, created_at, attempts, run_id, started_at, error, progress, progress_note)
      select g.tenant_id, g.id, g.seq, g.kind, g.name, g.queue, g.priority, $1, g.concurrency_key, g.payload, g.max_attempts, g.unique_key, g.linked, g.run_at, g.deadline, g.actor_type, g.actor_id,
        g.correlation_id, g.causation_id, g.xact, g.created_at, g.attempts, g.run_id, g.started_at, g.error, g.progress, g.progress_note
      from gone g', _slot) using _open;
    get diagnostics _moved = row_count;
    -- One whose jobs somebody has locked is left for now, for the next one.
    exit when _moved > 0;
  end loop;
  return _moved;
end
$$;
comment on function plinth_jobs.gather_strays(integer) is 'Moves the jobs of the closed slot in which the fewest wait, if they are at most p_most, to the open slot of the ring. Returns how many. For plinth_worker.';
