-- Creates the partitions of one table from last period to p_ahead periods after this one. CREATE ... LIKE and ATTACH take no ACCESS EXCLUSIVE
-- lock on the parent, which CREATE ... PARTITION OF would (research/records.md, F10).
create or replace function plinth_kernel.ensure_partitions(p_table regclass, p_every text, p_ahead integer default 3)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  _schema text;
  _name text;
  _step interval := ('1 ' || p_every)::interval;
  _from timestamptz;
  _to timestamptz;
  _child text;
  _made integer := 0;
begin
  if p_every not in ('month', 'day') then
    raise exception 'partitions are made by month or by day, not by %', p_every using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}', hint = 'Use month or day.';
  end if;
  select n.nspname, c.relname into _schema, _name
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table;
  -- One maker at a time for one table; the loser finds everything made.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('plinth partitions ' || _schema || '.' || _name, 0));
  for _step_no in -1 .. p_ahead loop
    _from := (pg_catalog.date_trunc(p_every, pg_catalog.now() at time zone 'UTC') + _step_no * _step) at time zone 'UTC';
    _to := ((_from at time zone 'UTC') + _step) at time zone 'UTC';
    _child := _name || pg_catalog.to_char(_from at time zone 'UTC', case p_every when 'month' then '"_"YYYY"_"MM' else '"_"YYYY"_"MM"_"DD' end);
    continue when pg_catalog.to_regclass(pg_catalog.format('%I.%I', _schema, _child)) is not null;
    execute pg_catalog.format('create table %I.%I (like %I.%I including defaults including constraints including storage including comments)', _schema, _child, _schema, _name);
    execute pg_catalog.format('alter table %I.%I enable row level security, force row level security', _schema, _child);
    execute pg_catalog.format('create policy owner on %I.%I to plinth_owner using (true) with check (true)', _schema, _child);
    execute pg_catalog.format('alter table %I.%I attach partition %I.%I for values from (%L) to (%L)', _schema, _name, _schema, _child,
      plinth_kernel.v7_floor(_from), plinth_kernel.v7_floor(_to));
    _made := _made + 1;
  end loop;
  return _made;
end
$$;
comment on function plinth_kernel.ensure_partitions(regclass, text, integer) is
  'Makes the partitions of a table that is partitioned by range of uuid v7 id, from the period before this one to p_ahead periods after it. Returns how many were missing.';
