-- plinth_jobs.write_effects for rows with `more`: run_at, delay_ms; unique_key, unique_until, unique_for_ms, on_duplicate, max_wait_ms;
-- batch_id; depends_on, on_dependency_failure; backoff; ids and payloads (many jobs); batch, close_batch (no job at all).
create or replace function plinth_jobs.write_special(p_rows jsonb) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _rows jsonb;
  _row jsonb;
  _waited_for uuid[];
  _met uuid[] := '{}';
  _dropped uuid[] := '{}';
  _holder uuid;
  -- By the id of each job that is left out: the job that holds its key.
  _holders jsonb := '{}';
  -- By the id of a job of this call that another of it replaces: its time, which is written with its gate.
  _times jsonb := '{}';
begin
  if not p_rows @? '$[*].more ? (exists (@.unique_key) || exists (@.ids) || exists (@.depends_on) || exists (@.batch_id) || exists (@.backoff) || exists (@.batch) || exists (@.close_batch))' then
    perform plinth_jobs.insert_special(p_rows, '{}');
    return;
  end if;
  _rows := p_rows;
  _waited_for := '{}';
  if p_rows @? '$[*].more ? (exists (@.ids) || exists (@.batch) || exists (@.close_batch))' then
    for _row in select e from jsonb_array_elements(p_rows) e where e -> 'more' ? 'ids' and (e -> 'more') - 'ids' - 'payloads' = '{}' loop
      perform plinth_jobs.write_bulk(_row);
    end loop;
    select jsonb_agg(w.job order by w.n, w.m) into _rows from (
      select e.n, 0::bigint as m, e.job from jsonb_array_elements(p_rows) with ordinality as e (job, n) where e.job ? 'kind' and not coalesce(e.job -> 'more' ? 'ids', false)
      union all
      select e.n, x.m, (e.job - 'more') || jsonb_build_object('id', x.id, 'payload', x.payload, 'more', (e.job -> 'more') - 'ids' - 'payloads')
      from jsonb_array_elements(p_rows) with ordinality as e (job, n),
        rows from (jsonb_array_elements_text(e.job -> 'more' -> 'ids'), jsonb_array_elements(e.job -> 'more' -> 'payloads')) with ordinality as x (id, payload, m)
      where e.job -> 'more' ? 'ids' and (e.job -> 'more') - 'ids' - 'payloads' <> '{}') w;
  end if;
  if p_rows @? '$[*].more.depends_on' then
    select coalesce(array_agg(distinct d::uuid), '{}') into _waited_for from (select v #>> '{}' from jsonb_path_query(p_rows, '$[*].more.depends_on[*]') as q (v)) as x (d);
  end if;
  if _rows @? '$[*].more.unique_key' then
    -- In the order of the keys, so that two bulk calls do not wait for each other.
    insert into plinth_jobs.unique_keys (tenant_id, kind, key, job_id, until, expires_at)
    select _tenant, e.kind, e.more ->> 'unique_key', e.id, plinth_jobs.unique_until(e.more), clock_timestamp() + (e.more ->> 'unique_for_ms')::double precision * interval '1 millisecond'
    from rows from (jsonb_to_recordset(_rows) as (id uuid, kind text, more jsonb)) with ordinality as e (id, kind, more, n)
    where e.more ? 'unique_key' order by e.kind, e.more ->> 'unique_key', e.n
    on conflict do nothing;
    select coalesce(array_agg(e.id), '{}') into _met from jsonb_to_recordset(_rows) as e (id uuid, kind text, more jsonb)
    where e.more ? 'unique_key' and not exists (
      select from plinth_jobs.unique_keys u where u.tenant_id = _tenant and u.kind = e.kind and u.key = e.more ->> 'unique_key' and u.job_id = e.id);
  end if;
  if _rows is null then
    null;
  elsif _met = '{}' then
    perform plinth_jobs.insert_special(_rows, _waited_for);
  else
    perform plinth_jobs.insert_special((select coalesce(jsonb_agg(e.job order by e.n), '[]') from jsonb_array_elements(_rows) with ordinality as e (job, n) where (e.job ->> 'id')::uuid <> all (_met)), _waited_for);
    for _row in select e.job from jsonb_array_elements(_rows) with ordinality as e (job, n) where (e.job ->> 'id')::uuid = any (_met) order by e.job ->> 'kind', e.job -> 'more' ->> 'unique_key', e.n loop
      _holder := plinth_jobs.meet_holder(_tenant, _row);
      if _holder is null then
        perform plinth_jobs.insert_special(jsonb_build_array(_row), _waited_for);
        continue;
      end if;
      _dropped := _dropped || (_row ->> 'id')::uuid;
      _holders := _holders || jsonb_build_object(_row ->> 'id', _holder);
      if _row -> 'more' ->> 'on_duplicate' in ('replace', 'debounce') then
        _times := _times || jsonb_build_object(_holder, jsonb_build_object('run_at', plinth_jobs.put_off(_row -> 'more', clock_timestamp())));
      end if;
    end loop;
  end if;
  if _holders <> '{}' and _waited_for <> '{}' then
    select jsonb_agg(case when e.job -> 'more' ? 'depends_on' then jsonb_set(e.job, '{more}', (e.job -> 'more') || coalesce(_times -> (e.job ->> 'id'), '{}') || jsonb_build_object('depends_on', (
      select jsonb_agg(coalesce(_holders -> (d #>> '{}'), d)) from jsonb_array_elements(e.job -> 'more' -> 'depends_on') d))) else e.job end order by e.n)
    into _rows from jsonb_array_elements(_rows) with ordinality as e (job, n);
  end if;
  if p_rows @? '$[*].more ? (exists (@.depends_on) || exists (@.batch_id) || exists (@.backoff) || exists (@.batch) || exists (@.close_batch))' then
    perform plinth_jobs.link_jobs(coalesce(_rows, '[]'), _dropped, p_rows);
  end if;
end
$$;
comment on function plinth_jobs.write_special(jsonb) is 'plinth_jobs.write_effects for jobs of which some have a time, a unique key, a batch, dependencies or waits of their own. Errors: jobs_duplicate, jobs_payload_too_large.';
