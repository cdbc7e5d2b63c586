-- A row whose unique key is held by another job: is it written all the same? The mode of the holder decides when the key is free,
-- the row decides what happens when it is not. A holder that waits is locked until the end of this transaction, so that it starts
-- after it and sees what it wrote. Waits for a transaction that takes or releases the key now.
create or replace function plinth_jobs.meet_holder(p_tenant_id uuid, p_row jsonb) returns uuid
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _id uuid := p_row ->> 'id';
  _kind text := p_row ->> 'kind';
  _more jsonb := p_row -> 'more';
  _key text := _more ->> 'unique_key';
  _action text := coalesce(_more ->> 'on_duplicate', 'keep');
  _until text := plinth_jobs.unique_until(_more);
  _expires timestamptz := clock_timestamp() + (_more ->> 'unique_for_ms')::double precision * interval '1 millisecond';
  _held plinth_jobs.unique_keys;
  _over boolean;
  _status text;
begin
  -- A claim, an end or a promotion may move the holder between two statements; it settles within a round for each that competes.
  for _round in 1 .. 1000 loop
    insert into plinth_jobs.unique_keys (tenant_id, kind, key, job_id, until, expires_at) values (p_tenant_id, _kind, _key, _id, _until, _expires) on conflict do nothing;
    select u.* into _held from plinth_jobs.unique_keys u where u.tenant_id = p_tenant_id and u.kind = _kind and u.key = _key;
    continue when not found;
    if _held.job_id = _id then
      return null;
    end if;
    -- Its time is over, whatever has become of the holder.
    _over := coalesce(_held.expires_at <= clock_timestamp(), false);
    if not _over and _action in ('replace', 'debounce') and plinth_jobs.replace_waiting(p_tenant_id, _held.job_id, p_row, case when _action = 'debounce' then _held.created_at end, _held.until = 'started') then
      return _held.job_id;
    end if;
    _status := 'held';
    if not _over and (_held.until = 'started' or _action in ('replace', 'debounce')) then
      -- Shared, so that duplicates do not wait for each other; who replaces takes the row for itself, and a share lock first would be a deadlock.
      if _action not in ('replace', 'debounce') then
        perform from plinth_jobs.jobs j
        where j.status in ('scheduled', 'pending') and j.tenant_id = p_tenant_id and j.id = _held.job_id and j.attempts = 0 for share;
        if found then
          _status := 'locked';
        end if;
      end if;
      if _status = 'held' then
        select case when j.status in ('scheduled', 'pending') and (j.attempts = 0 or _held.until <> 'started') then 'moved' else 'started' end into _status
        from plinth_jobs.jobs j where j.tenant_id = p_tenant_id and j.id = _held.job_id;
        continue when _status = 'moved';
        _status := case when _held.until = 'started' or (_held.until = 'done' and _status is null) then 'free' else 'held' end;
      end if;
    end if;
    if _status = 'free' or _over then
      update plinth_jobs.unique_keys u set job_id = _id, until = _until, expires_at = _expires, created_at = clock_timestamp()
      where u.tenant_id = p_tenant_id and u.kind = _kind and u.key = _key and u.job_id = _held.job_id;
      if found then
        return null;
      end if;
      continue;
    end if;
    if _action = 'reject' then
      raise exception 'Job % of kind % holds the unique key %', _held.job_id, _kind, _key using errcode = 'PL409',
        detail = jsonb_build_object('code', 'jobs_duplicate', 'job_id', _held.job_id, 'kind', _kind, 'unique_key', _key)::text, hint = 'Wait until it has ended, or cancel it.';
    end if;
    return _held.job_id;
  end loop;
  raise exception 'The job that holds the unique key % of kind % keeps changing', _key, _kind using errcode = '40001';
end
$$;
comment on function plinth_jobs.meet_holder(uuid, jsonb) is 'Decides about a row of plinth_jobs.write_special whose unique key is taken. Returns the job that holds the key, and the row is not written; null: it is written and holds the key now. Error: jobs_duplicate.';
