-- Turns the ring: the open slot is closed when it has grown, and a closed slot that nobody has rows in any more is emptied by TRUNCATE,
-- which a held snapshot does not hinder. Stragglers that still write into a closed slot hold a lock, and TRUNCATE does not wait for it
-- longer than 50 ms. With no empty slot left the few jobs that keep one from being emptied are moved; where many do (a large backlog) the open one just grows.
create or replace function plinth_jobs.rotate(p_bytes bigint default 16777216) returns text
language plpgsql volatile security definer set search_path = '' set lock_timeout = '50ms'
as $$
declare
  _open integer;
  _slot text;
  _pages bigint;
  _used boolean;
  _free integer;
  _moved bigint;
  _did text[] := '{}';
begin
  perform plinth_kernel.require_worker();
  -- An old snapshot would find no row in a slot that others have filled since.
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    return null;
  end if;
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('plinth jobs rotate', 0)) then
    return null;
  end if;
  select s.last_value into _open from plinth_jobs.open_slot s;
  for _n in 0 .. 3 loop
    _slot := 'plinth_jobs.jobs_ready_' || _n;
    continue when _n = _open;
    _pages := pg_catalog.pg_relation_size(_slot::regclass) / 8192;
    if _pages > 0 then
      -- What came last is mostly taken last: its end tells without reading what was taken of a long backlog.
      execute format('select exists (select from %1$s where ctid >= %2$L::tid) or exists (select from %1$s)', _slot, '(' || greatest(0, _pages - 64) || ',0)') into _used;
      if not _used then
        begin
          execute 'lock table ' || _slot || ' in access exclusive mode';
          execute 'select exists (select from ' || _slot || ')' into _used;
          if not _used then
            execute 'truncate ' || _slot;
            perform pg_catalog.brin_desummarize_range((_slot || '_ids')::regclass, 0);
            perform pg_catalog.setval((_slot || '_summarised')::regclass, 0);
            _did := _did || ('emptied ' || _n);
          end if;
        exception when lock_not_available then
          _used := true;
        end;
      end if;
    else
      _used := false;
    end if;
    if not _used then
      _free := _n;
    end if;
  end loop;
  if _free is not null and pg_catalog.pg_relation_size(('plinth_jobs.jobs_ready_' || _open)::regclass) >= p_bytes then
    perform pg_catalog.setval('plinth_jobs.open_slot', _free);
    _did := _did || ('opened ' || _free);
  elsif pg_catalog.pg_relation_size(('plinth_jobs.jobs_ready_' || _open)::regclass) >= p_bytes then
    _moved := plinth_jobs.gather_strays();
    if _moved > 0 then
      _did := _did || ('moved ' || _moved);
    end if;
  end if;
  perform plinth_jobs.settle_by_hand();
  perform plinth_jobs.tidy_limits();
  return pg_catalog.array_to_string(_did, ', ');
end
$$;
comment on function plinth_jobs.rotate(bigint) is 'Turns the ring of ready jobs: opens another slot when the open one has p_bytes, and empties drained ones. Returns what it did, null when another process is at it, or the transaction is not READ COMMITTED.';
