-- Makes the partition of the period that holds p_at. CREATE ... LIKE and ATTACH take no ACCESS EXCLUSIVE lock on the parent, which
-- CREATE ... PARTITION OF would (research/records.md, F10). Identity is left out on purpose: ATTACH hands it down where the server
-- can (17 and newer refuse a partition that brings its own), and rows enter through the parent everywhere.
create or replace function plinth_kernel.partition_make(p_table regclass, p_every text, p_at timestamptz) returns boolean
language plpgsql set search_path = ''
as $$
declare
  _schema text;
  _name text;
  _step interval := ('1 ' || p_every)::interval;
  _from timestamptz := pg_catalog.date_trunc(p_every, p_at at time zone 'UTC') at time zone 'UTC';
  _to timestamptz := (pg_catalog.date_trunc(p_every, p_at at time zone 'UTC') + _step) at time zone 'UTC';
  _child text;
  _fillfactor smallint;
  _trigger record;
begin
  if p_every not in ('month', 'day') then
    raise exception 'partitions are made by month or by day, not by %', p_every using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}', hint = 'Use month or day.';
  end if;
  select n.nspname, c.relname into _schema, _name
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table;
  -- One maker at a time for one table; the loser finds everything made.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('plinth partitions ' || _schema || '.' || _name, 0));
  _child := _name || pg_catalog.to_char(_from at time zone 'UTC', case p_every when 'month' then '"_"YYYY"_"MM' else '"_"YYYY"_"MM"_"DD' end);
  if pg_catalog.to_regclass(pg_catalog.format('%I.%I', _schema, _child)) is not null then
    return false;
  end if;
  execute pg_catalog.format('create table %I.%I (like %I.%I including defaults including constraints including generated including storage including compression including comments)', _schema, _child, _schema, _name);
  select k.fillfactor into _fillfactor from plinth_kernel.retention_kinds k where k.table_name = _schema || '.' || _name;
  if _fillfactor is not null then
    -- Its rows are updated once, where they are, and leave with the partition: what an update leaves behind is pruned by the next reader, and
    -- VACUUM would only write every page once more (600 to 930 bytes of log and 13 us for each of the jobs, after a checkpoint). It still comes
    -- when rows are deleted in great numbers, and to freeze what is kept for very long.
    execute pg_catalog.format('alter table %I.%I set (fillfactor = %s, autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_scale_factor = 1.5)', _schema, _child, _fillfactor);
  end if;
  execute pg_catalog.format('alter table %I.%I enable row level security, force row level security', _schema, _child);
  execute pg_catalog.format('create policy owner on %I.%I to plinth_owner using (true) with check (true)', _schema, _child);
  -- Triggers for each row come with ATTACH, those before TRUNCATE (bits 2 and 32 of tgtype) do not: one of a partition would go round them.
  for _trigger in select t.tgname, t.tgfoid::regprocedure as call from pg_catalog.pg_trigger t where t.tgrelid = p_table and not t.tgisinternal and t.tgtype & 34 = 34 loop
    execute pg_catalog.format('create trigger %I before truncate on %I.%I for each statement execute function %s', _trigger.tgname, _schema, _child, _trigger.call);
  end loop;
  execute pg_catalog.format('alter table %I.%I attach partition %I.%I for values from (%L) to (%L)', _schema, _name, _schema, _child,
    plinth_kernel.v7_floor(_from), plinth_kernel.v7_floor(_to));
  return true;
end
$$;
comment on function plinth_kernel.partition_make(regclass, text, timestamptz) is
  'Makes the partition of one period (month or day, UTC) of a table that is partitioned by range of uuid v7 id. False when there is one of that name.';
