create or replace function plinth.explain_job(p_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  -- Enough to tell a long wait from a short one; counting on would read the backlog.
  _most constant integer := 1000;
  _tenant uuid := plinth_kernel.require_tenant();
  _job plinth_jobs.jobs;
  _obstacles jsonb;
  _until timestamptz;
  _open boolean;
  _paced boolean;
  _ahead integer;
  _beat_at timestamptz;
  _lease_ends_at timestamptz;
  _sentence text;
begin
  select j.* into _job from plinth_jobs.jobs j where j.tenant_id = _tenant and j.id = p_id;
  if not found then
    raise exception 'There is no job %', p_id using errcode = 'PL404', detail = '{"code":"jobs_job_not_found"}',
      hint = 'Check the id and the tenant. A job whose unique key was taken was not written: the one that holds the key is in plinth.background_jobs.';
  end if;
  if _job.status in ('scheduled', 'pending') then
    if _job.status = 'pending' then
      select count(*) into _ahead from (
        select from plinth_jobs.jobs_ready r
        where r.queue = _job.queue and r.priority = _job.priority and r.tenant_id = _tenant and r.concurrency_key = _job.concurrency_key and r.seq < _job.seq
        order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit _most + 1) a;
    end if;
    -- Under a rate those before it start one after the other, at its pace.
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('cause', o.cause, 'sentence', o.sentence, 'until', o.until, 'detail', o.detail)) order by o.n), '[]'),
      max(o.until + case when o.cause = 'rate' then coalesce(_ahead, 0) * (o.detail ->> 'seconds_between_starts')::double precision else 0 end * interval '1 second'),
      bool_or(o.until is null), bool_or(o.cause = 'rate')
    into _obstacles, _until, _open, _paced from (select b.*, row_number() over () as n from plinth_jobs.job_obstacles(_job) b) o;
    if not _open and _job.deadline < _until then
      _open := true;
      _obstacles := jsonb_build_object('cause', 'deadline', 'sentence', 'Its deadline comes before what holds it ends: it will fail unrun.', 'detail', jsonb_build_object('deadline', _job.deadline)) || _obstacles;
    end if;
    _sentence := coalesce(_obstacles -> 0 ->> 'sentence',
      case when _ahead > 0 then format('Nothing holds it: %s of its lane come before it.', case when _ahead > _most then 'more than ' || _most || ' jobs' when _ahead = 1 then '1 job' else _ahead || ' jobs' end)
        else 'Nothing holds it: it runs when a worker is free and its lane has its turn.' end);
  elsif _job.status = 'processing' then
    select w.beat_at, w.beat_at + w.lease into _beat_at, _lease_ends_at from plinth_jobs.workers w where w.id = _job.worker;
    _sentence := case when _job.cancel_requested_at is not null then 'It runs and was told to stop.'
      when _job.worker is null then 'A program took it by UPDATE of plinth.background_jobs, which has to end it: it is never taken back.' when _lease_ends_at >= clock_timestamp() then 'It runs.'
      else 'It runs on a worker that gives no sign of life; when that is noticed, it is taken back.' end;
  elsif _job.status = 'failed' and _job.linked then
    select format('It failed with job %s, which it depends on; plinth.retry_job runs that one again, and with p_with_dependents this one after it.', d.id) into _sentence
    from plinth_jobs.gates g join plinth_jobs.gate_parts p on p.tenant_id = g.tenant_id and p.gate_id = g.id and p.status = 'failed'
    join plinth_jobs.jobs_failed d on d.tenant_id = p.tenant_id and d.id = p.job_id
    where g.tenant_id = _tenant and g.id = p_id and g.opens = 'job' and g.on_failure = 'fail' order by d.id limit 1;
  end if;
  if _sentence is null then
    _sentence := case _job.status when 'completed' then 'It has completed.' when 'cancelled' then 'It was cancelled.' else 'It failed for good and is a dead letter; plinth.retry_job runs it again.' end;
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'id', _job.id, 'status', _job.status, 'sentence', _sentence, 'obstacles', coalesce(_obstacles, '[]'),
    'ahead', case when _ahead is not null then least(_ahead, _most) end, 'ahead_capped', case when _ahead is not null then _ahead > _most end,
    -- Known when all that holds it ends by the clock, and nothing is in front of it but what a rate lets go at its pace.
    'expected_at', case when _open is false and (coalesce(_ahead, 0) = 0 or (_paced and _ahead <= _most)) then _until end,
    'attempts', _job.attempts, 'run_at', case when _job.run_at < 'infinity' then _job.run_at end, 'deadline', _job.deadline, 'unique_key', _job.unique_key, 'error', _job.error,
    'started_at', case when _job.status = 'processing' then _job.started_at end, 'finished_at', _job.finished_at,
    'worker', case when _job.status = 'processing' and _job.worker is not null then jsonb_build_object('name', split_part(_job.worker, '#', 1), 'beat_at', _beat_at, 'lease_ends_at', _lease_ends_at) end));
end
$$;
comment on function plinth.explain_job(uuid) is
  'Why a job of the tenant does not run: {status, sentence, obstacles: [{cause: deadline | dependency | scheduled | backoff | paused | cap | rate | no_worker, sentence, until, detail}], ahead (jobs before it in its lane, counted to 1,000), expected_at: the earliest moment at which it can start, where that is known; jobs of other lanes under the same limit may come first}. Errors: jobs_job_not_found, kernel_tenant_required.';
