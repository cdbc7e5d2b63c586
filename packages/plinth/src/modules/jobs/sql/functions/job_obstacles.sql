create or replace function plinth_jobs.job_obstacles(p_job plinth_jobs.jobs) returns table (cause text, sentence text, until timestamptz, detail jsonb)
language plpgsql stable security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _workers record;
  _announced_at timestamptz;
begin
  if p_job.deadline < clock_timestamp() then
    return query select 'deadline', 'Its deadline has passed: the worker that takes it fails it unrun.', null::timestamptz, jsonb_build_object('deadline', p_job.deadline);
  elsif p_job.status = 'scheduled' and p_job.run_at < 'infinity' and p_job.deadline < p_job.run_at then
    return query select 'deadline', 'Its deadline comes before its time: it will fail unrun.', null::timestamptz, jsonb_build_object('deadline', p_job.deadline);
  end if;
  if p_job.status = 'scheduled' then
    if to_regclass('plinth_jobs.gates') is not null then
      return query
      select 'dependency', format('It waits for %s job%s to end.', case when count(*) > 100 then 'more than 100' else count(*)::text end, case when count(*) = 1 then '' else 's' end), null::timestamptz,
        jsonb_build_object('job_ids', (jsonb_agg(d.job_id)) #- '{100}')
      from (
        select p.job_id from plinth_jobs.gates g join plinth_jobs.gate_parts p on p.tenant_id = g.tenant_id and p.gate_id = g.id and p.status is null
        where g.tenant_id = p_job.tenant_id and g.id = p_job.id and g.opens = 'job' and g.finished_at is null limit 101) d
      having count(*) > 0;
    end if;
    if p_job.run_at > clock_timestamp() and p_job.run_at < 'infinity' then
      return query
      select case when p_job.attempts > 0 then 'backoff' else 'scheduled' end,
        case when p_job.attempts > 0 then format('It waits after attempt %s.', p_job.attempts) else 'Its time has not come.' end, p_job.run_at,
        case when p_job.attempts > 0 then jsonb_build_object('attempt', p_job.attempts, 'error', p_job.error) end;
    end if;
  end if;
  return query
  select 'paused', format('%s paused by %s: %s', case when p.tenant_id <> p_job.tenant_id then 'All tenants are' when p.source = 'installation' then 'The tenant is' else 'It is' end,
      case when p.source = 'installation' then 'an operator' else p.paused_by end, p.reason),
    nullif(p.ends_at, 'infinity'), jsonb_build_object('pause_id', p.id, 'queue', p.queue, 'kind', p.kind, 'concurrency_key', p.concurrency_key, 'reason', p.reason, 'source', p.source, 'paused_at', p.created_at)
  from plinth_jobs.pauses p
  where p.tenant_id in (p_job.tenant_id, '00000000-0000-0000-0000-000000000000') and p.ends_at > (select clock_timestamp())
    and (p.queue is null or p.queue = p_job.queue) and (p.kind is null or p.kind = p_job.kind) and (p.concurrency_key is null or p.concurrency_key = p_job.concurrency_key)
  order by p.created_at;
  return query
  select o.cause, o.sentence, o.until,
    jsonb_build_object('limit_id', s.limit_id, 'per', s.per, 'queue', nullif(s.queue, ''), 'running', s.running, 'max_running', s.max_running, 'seconds_between_starts', s.every, 'burst', s.burst)
  from plinth_jobs.scope_rooms(array[p_job.queue]::text[], array[p_job.tenant_id], array[p_job.concurrency_key]::text[]) s
  cross join lateral (
    select case s.per when 'queue' then 'all tenants' when 'tenant' then 'the tenant' else 'key ' || p_job.concurrency_key end || case when s.queue = '' then '' else ' in queue ' || s.queue end as name) n
  cross join lateral (
    select 'cap' as cause, format('%s of %s jobs run that may run at once for %s.', s.running, s.max_running, n.name) as sentence, null::timestamptz as until where s.running >= s.max_running
    union all
    select 'rate', format('As many jobs have started as may for %s.', n.name), s.next_at where s.starts = 0) o;
  select count(*) > 0 as alive, bool_or(w.handles) as handles, bool_or(w.handles and w.takes) as takes, max(w.beat_at) as beat_at into _workers from (
    select w.beat_at, w.kinds is null or p_job.kind = any (w.kinds) as handles, w.queues is null or p_job.queue = any (w.queues) as takes from plinth_jobs.workers w
    -- One that is confined to a tenant, which its id begins with, takes no jobs of others (plinth_jobs.beat).
    where w.beat_at + w.lease >= clock_timestamp() and (w.id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:' or starts_with(w.id, p_job.tenant_id || ':'))) w;
  select k.seen_at into _announced_at from plinth_jobs.kinds k where k.kind = p_job.kind;
  if not coalesce(_workers.takes, false) then
    return query select 'no_worker', case
        when _announced_at is null then format('No worker has ever announced a handler for %s.', p_job.kind)
        when not _workers.alive then 'No worker is alive.'
        when not _workers.handles then format('No worker that is alive has a handler for %s.', p_job.kind)
        else format('No worker that handles %s and is alive takes jobs of queue %s.', p_job.kind, p_job.queue) end,
      null::timestamptz, jsonb_build_object('kind', p_job.kind, 'queue', p_job.queue, 'kind_announced_at', _announced_at,
        'last_beat_at', case when not _workers.alive then (select max(w.beat_at) from plinth_jobs.workers w) end);
  end if;
end
$$;
comment on function plinth_jobs.job_obstacles(plinth_jobs.jobs) is
  'What keeps a waiting job from starting, in the order in which it is looked at: deadline, dependency, scheduled or backoff, paused, cap, rate, no_worker.';
