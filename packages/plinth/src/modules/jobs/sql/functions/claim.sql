-- Claiming for callers that keep nothing between two calls: finds the lanes, gives the most urgent priority first and its tenants shares
-- by their weights, and goes round again while that leaves room. Lanes of a priority come in the order of a race in which a tenant's lanes arrive
-- one after another, at the speed of its weight (sums of exponential times): so whoever has more lanes gets no more, and a claim of one job is fair by chance.
-- Where there are more lanes than are looked at, every other look begins at a place by chance, for nothing is remembered from call to call.
create or replace function plinth_jobs.claim(p_worker text, p_limit integer, p_lease interval default interval '15 seconds', p_kinds text[] default null, p_queues text[] default null)
returns table (tenant_id uuid, id uuid, run_id uuid, seq bigint, kind text, name text, queue text, payload jsonb, attempt smallint, max_attempts smallint, priority smallint, concurrency_key text,
  correlation_id uuid, causation_id uuid, run_at timestamptz, deadline timestamptz, started_at timestamptz, claim_id uuid)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _most constant integer := 1000;
  _left integer := p_limit;
  _taken integer;
  _lanes record;
  _few boolean := true;
  _cut boolean := false;
  _from record;
begin
  perform plinth_jobs.beat(p_worker, p_lease, true, p_kinds, p_queues);
  perform plinth_jobs.promote(1000);
  select null::text as queue, null::smallint as priority, null::uuid as tenant_id, null::text as concurrency_key into _from;
  for _round in 1 .. 4 loop
    -- Where fewer wait than are wanted, all are taken and nobody needs a share.
    if _few then
      select array_agg(l.queue) as queues, array_agg(l.priority) as priorities, array_agg(l.tenant_id) as tenants, array_agg(l.concurrency_key) as keys, array_agg(0::bigint) as after,
        array_agg(_left) as quanta, _left as least
      into _lanes from plinth_jobs.few_lanes(p_queues, _left) l;
      _few := _lanes.queues is not null;
    end if;
    if _cut then
      select s.* into _from from plinth_jobs.some_lane() s where _round % 2 = 0;
    end if;
    if not _few then
      select array_agg(l.queue order by l.priority, l.turn) as queues, array_agg(l.priority order by l.priority, l.turn) as priorities, array_agg(l.tenant_id order by l.priority, l.turn) as tenants,
        array_agg(l.concurrency_key order by l.priority, l.turn) as keys, array_agg(0::bigint) as after, array_agg(l.quantum order by l.priority, l.turn) as quanta, min(l.quantum) as least, count(*) = _most as cut
      into _lanes
      from (
        select r.*, sum(r.step) over (partition by r.priority, r.tenant_id order by r.lot rows unbounded preceding) as turn,
          greatest(1, floor(_left * r.share / sum(r.share) over (partition by r.priority)))::integer as quantum
        from (select f.*, random() as lot, -ln(1 - random()) / f.weight as step, f.weight / (count(*) over (partition by f.priority, f.tenant_id))::double precision as share
          from plinth_jobs.lanes(p_queues, _most, _from.queue, _from.priority, _from.tenant_id, _from.concurrency_key) f) r) l;
      if _lanes.cut and not _cut and plinth_kernel.is_worker() then
        _cut := true;
        continue;
      end if;
    end if;
    exit when _lanes.least is null and not _cut;
    continue when _lanes.least is null;
    return query select c.tenant_id, c.id, c.run_id, c.seq, c.kind, c.name, c.queue, c.payload, c.attempt, c.max_attempts, c.priority, c.concurrency_key, c.correlation_id, c.causation_id,
        c.run_at, c.deadline, c.started_at, c.claim_id
      from plinth_jobs.claim_lanes(p_worker, _left, p_kinds, _lanes.queues, _lanes.priorities, _lanes.tenants, _lanes.keys, _lanes.after, _lanes.quanta) c;
    get diagnostics _taken = row_count;
    _left := _left - _taken;
    -- With fewer than any lane was asked for, every lane has given all it has.
    exit when _left = 0 or (not _cut and (_taken < _lanes.least or _taken = 0));
  end loop;
end
$$;
comment on function plinth_jobs.claim(text, integer, interval, text[], text[]) is
  'Takes at most p_limit jobs for a worker, of the given kinds and queues (null: all), the most urgent first, shares for tenants by their weights. They are lost when the worker neither claims nor calls plinth_jobs.beat for the length of p_lease. p_worker as for plinth_jobs.beat. Jobs of all tenants for plinth_worker, of one''s tenant for others.';
