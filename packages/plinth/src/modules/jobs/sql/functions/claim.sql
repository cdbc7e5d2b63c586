-- Claiming for callers that keep nothing between two calls: finds the lanes, gives the most urgent priority first and its tenants shares
-- by their weights, and goes round again while that leaves room.
create or replace function plinth_jobs.claim(p_worker text, p_limit integer, p_lease interval default interval '15 seconds', p_kinds text[] default null, p_queues text[] default null)
returns table (tenant_id uuid, id uuid, run_id uuid, seq bigint, kind text, name text, queue text, payload jsonb, attempt smallint, max_attempts smallint, priority smallint, concurrency_key text,
  correlation_id uuid, causation_id uuid, run_at timestamptz, deadline timestamptz, started_at timestamptz, claim_id uuid)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _left integer := p_limit;
  _taken integer;
begin
  perform plinth_jobs.beat(p_worker, p_lease);
  perform plinth_jobs.promote(1000);
  for _round in 1 .. 4 loop
    return query
    select c.* from (
      select array_agg(l.queue order by l.priority, l.turn) as queues, array_agg(l.priority order by l.priority, l.turn) as priorities, array_agg(l.tenant_id order by l.priority, l.turn) as tenants,
        array_agg(l.concurrency_key order by l.priority, l.turn) as keys, array_agg(0::bigint) as after, array_agg(greatest(1, _left * l.weight / l.weights)::integer order by l.priority, l.turn) as quanta
      from (select f.*, random() as turn, sum(f.weight) over (partition by f.priority) as weights from plinth_jobs.lanes(p_queues) f) l
    ) lanes cross join lateral plinth_jobs.claim_lanes(p_worker, _left, p_kinds, lanes.queues, lanes.priorities, lanes.tenants, lanes.keys, lanes.after, lanes.quanta) c;
    get diagnostics _taken = row_count;
    _left := _left - _taken;
    exit when _taken = 0 or _left = 0;
  end loop;
end
$$;
comment on function plinth_jobs.claim(text, integer, interval, text[], text[]) is
  'Takes at most p_limit jobs for a worker, of the given kinds and queues (null: all), the most urgent first, shares for tenants by their weights. They are lost when the worker neither claims nor calls plinth_jobs.beat for the length of p_lease. Jobs of all tenants for plinth_worker, of one''s tenant for others.';
