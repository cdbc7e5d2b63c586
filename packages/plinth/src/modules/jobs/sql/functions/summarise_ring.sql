-- A range of 16 pages takes 0.3 ms, and a backlog of a million jobs has 3,300: at once that is a second of a core,
-- beside which small claims took 40 ms and more. Not of the open slot: a range that still grows would have its summary written anew by every insert.
-- Autovacuum leaves these tables alone, and without statistics the planner believes that the index leads nowhere: whoever asked for one job read the backlog of
-- everybody. They outlast TRUNCATE, so that a slot needs them once a day at most, which is 0.1 s.
create or replace function plinth_jobs.summarise_ring(p_ranges integer default 8) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _slot text;
  _ranges bigint;
  _done bigint;
  _left integer := p_ranges;
begin
  perform plinth_kernel.require_worker();
  -- The lock of plinth_jobs.rotate: who turns the ring does this too.
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('plinth jobs rotate', 0)) then
    return false;
  end if;
  for _n in 0 .. 3 loop
    continue when _n = (select s.last_value from plinth_jobs.open_slot s);
    _slot := 'plinth_jobs.jobs_ready_' || _n;
    _ranges := (pg_catalog.pg_relation_size(_slot::regclass) / 8192 + 15) / 16;
    _done := pg_catalog.pg_sequence_last_value((_slot || '_summarised')::regclass);
    continue when _done >= _ranges;
    while _done < _ranges loop
      if _left = 0 then
        return true;
      end if;
      perform pg_catalog.brin_summarize_range((_slot || '_ids')::regclass, _done * 16);
      _done := pg_catalog.setval((_slot || '_summarised')::regclass, _done + 1);
      _left := _left - 1;
    end loop;
    if coalesce(pg_catalog.pg_stat_get_last_analyze_time(_slot::regclass), '-infinity') < pg_catalog.clock_timestamp() - interval '1 day' then
      execute 'analyze ' || _slot || ' (id, correlation_id, tenant_id, queue, priority)';
    end if;
  end loop;
  return false;
end
$$;
comment on function plinth_jobs.summarise_ring(integer) is
  'Summarises at most p_ranges ranges of the block range indexes, by which a waiting job is found by its id, of slots that are not open, and gathers statistics of a slot that has none of the last day. True: some are left. For plinth_worker.';
