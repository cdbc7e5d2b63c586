create or replace function plinth.unaudit_table(p_table regclass) returns void
language plpgsql volatile strict security invoker set search_path = ''
as $$
declare
  _triggers text[] := '{plinth_capture_insert,plinth_capture_update,plinth_capture_delete,plinth_capture_truncate}';
  _functions regprocedure[] := array(select distinct t.tgfoid from pg_catalog.pg_trigger as t where t.tgrelid = p_table and t.tgname = any (_triggers));
  _name text;
begin
  foreach _name in array _triggers loop
    execute format('drop trigger if exists %I on %s', _name, p_table);
  end loop;
  foreach _name in array _functions::text[] loop
    execute 'drop function ' || _name;
  end loop;
end
$$;
comment on function plinth.unaudit_table(regclass) is 'Stops capturing the row changes of a table. Entries that were written stay.';
