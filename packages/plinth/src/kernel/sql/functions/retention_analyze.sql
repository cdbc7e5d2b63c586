-- Autovacuum never analyses a partitioned parent, whose statistics the planner needs after partitions came and went.
create or replace function plinth_kernel.retention_analyze(p_kind text) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
declare
  _table text;
begin
  select k.table_name into _table from plinth_kernel.retention_kinds as k where k.kind = p_kind;
  if _table is not null then
    execute format('analyze %s', _table::regclass);
  end if;
end
$$;
comment on function plinth_kernel.retention_analyze(text) is 'Renews the planner statistics of a kind''s table. For plinth_worker.';
