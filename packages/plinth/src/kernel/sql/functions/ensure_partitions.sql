-- Creates the partitions of one table from last period to p_ahead periods after this one.
create or replace function plinth_kernel.ensure_partitions(p_table regclass, p_every text, p_ahead integer default 3)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  _made integer := 0;
  _this_period timestamp := pg_catalog.date_trunc(p_every, pg_catalog.now() at time zone 'UTC');
begin
  for _step in -1 .. p_ahead loop
    if plinth_kernel.partition_make(p_table, p_every, (_this_period + _step * ('1 ' || p_every)::interval) at time zone 'UTC') then
      _made := _made + 1;
    end if;
  end loop;
  return _made;
end
$$;
comment on function plinth_kernel.ensure_partitions(regclass, text, integer) is
  'Makes the partitions of a table that is partitioned by range of uuid v7 id, from the period before this one to p_ahead periods after it. Returns how many were missing.';
