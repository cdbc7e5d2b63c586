create or replace function plinth.unaudit_table(p_table regclass) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _function text;
begin
  select format('%I.%I()', n.nspname, 'plinth_capture_' || c.relname) into _function
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table;
  execute format('drop trigger if exists plinth_capture_insert on %s; drop trigger if exists plinth_capture_update on %1$s; drop trigger if exists plinth_capture_delete on %1$s; drop trigger if exists plinth_capture_truncate on %1$s', p_table);
  execute 'drop function if exists ' || _function;
end
$$;
comment on function plinth.unaudit_table(regclass) is 'Stops capturing the row changes of a table. Entries that were written stay.';
