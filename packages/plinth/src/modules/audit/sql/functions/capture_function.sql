-- Text of the trigger function for one table. Whole images are stored and the difference is computed on read. Each operation is one
-- INSERT ... SELECT over its transition tables; an update joins them by primary key, so a changed key shows as a delete and an insert.
-- The aliases are long on purpose: a table may well have a column called n. Values are written in one form, whatever the session shows them in: a time or bytes in
-- a key would name one row in many ways, and floats would lose digits (1 us of a captured insert of 63).
create or replace function plinth_audit.capture_function(p_function text, p_table oid, p_keys text[], p_redact text[], p_entity_type text, p_tenant_column text)
returns text
language plpgsql stable set search_path = ''
as $$
declare
  _columns text := 'tenant_id, id, action, entity_type, entity_id, actor_type, actor_id, before, after, severity, reason, ip, user_agent, source, correlation_id, causation_id, request_id, created_at';
  _context text := case when p_tenant_column is null then 'plinth_kernel.current_context()' else 'plinth_kernel.open_context()' end;
  _mask text := (select coalesce(' || ' || quote_literal(jsonb_object_agg(r, '[redacted]')) || '::jsonb', '') from unnest(p_redact) as r);
  -- By the operator of the key's own index: that of an extension's type stands in a schema that the trigger does not look into.
  _same_key text := (select string_agg(format('plinth_new.%1$I operator(%2$s) plinth_old.%1$I', k, coalesce(e.name, 'pg_catalog.=')), ' and ')
    from unnest(p_keys) as k left join lateral (
      select format('%I.%s', n.nspname, o.oprname) as name
      from pg_catalog.pg_index as i
      cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) as u (attnum, opclass)
      join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = u.attnum
      join pg_catalog.pg_opclass as c on c.oid = u.opclass
      join pg_catalog.pg_am as m on m.oid = c.opcmethod and m.amname = 'btree'
      join pg_catalog.pg_amop as p on p.amopfamily = c.opcfamily and p.amopstrategy = 3 and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
      join pg_catalog.pg_operator as o on o.oid = p.amopopr
      join pg_catalog.pg_namespace as n on n.oid = o.oprnamespace
      where i.indrelid = p_table and i.indisprimary and a.attname = k) as e on true);
  -- Triggers see no values of virtual generated columns, which follow from the others.
  _left_out text := (select coalesce(' - ' || quote_literal(array_agg(a.attname::text)) || '::text[]', '') from pg_catalog.pg_attribute as a
    where a.attrelid = p_table and a.attgenerated = 'v');
  -- The tenant stands on every entry: with it in the id, what is recorded by hand and what is captured would be two entities.
  _named text[] := case when cardinality(p_keys) > 1 then array_remove(p_keys, p_tenant_column) else p_keys end;
  _redacted jsonb := (select jsonb_object_agg(a.attname, a.attnum) from pg_catalog.pg_attribute as a where a.attrelid = p_table and a.attname = any (p_redact) and a.attnum > 0);
  _branches text := '';
  _case record;
begin
  for _case in
    select * from (values
      ('INSERT', 'plinth_new', 'plinth_new', quote_literal(p_entity_type || '.inserted'), 'null', 'to_jsonb(plinth_new)' || _left_out || _mask, ''),
      ('DELETE', 'plinth_old', 'plinth_old', quote_literal(p_entity_type || '.deleted'), 'to_jsonb(plinth_old)' || _left_out || _mask, 'null', ''),
      ('UPDATE', 'plinth_new', format('(plinth_new full join plinth_old on %s)', _same_key),
        format('case when plinth_old is null then %L when plinth_new is null then %L else %L end', p_entity_type || '.inserted', p_entity_type || '.deleted', p_entity_type || '.updated'),
        'to_jsonb(plinth_old)' || _left_out || _mask, 'to_jsonb(plinth_new)' || _left_out || _mask, 'where to_jsonb(plinth_old) is distinct from to_jsonb(plinth_new)')
    ) as v (op, sample, rows_from, action, before, after, condition)
  loop
    _branches := _branches || format($branch$
  if tg_op = %L then%s
    insert into plinth_audit.entries (%s)
    select %s, plinth_kernel.uuid_v7_nth(plinth_base, row_number() over ()), %s, %L, %s, plinth_context.actor_type, plinth_context.actor_id, %s, %s, 'info', plinth_context.reason, plinth_context.ip, plinth_context.user_agent, 'capture', plinth_context.correlation_id, plinth_context.causation_id, plinth_context.request_id, now()
    from %s as plinth_context cross join %s %s;
  end if;$branch$,
      _case.op,
      case when _redacted is not null then
        format(E'\n    perform plinth_audit.check_redactions(tg_relid, to_jsonb(%1$s), %2$s, %3$L) from %1$s limit 1;', _case.sample, p_table, _redacted) end,
      _columns, plinth_audit.capture_value(p_tenant_column, _case.op, 'plinth_context.tenant_id'), _case.action, p_entity_type,
      (select string_agg(plinth_audit.capture_value(k, _case.op, 'null') || '::text', ' || '','' || ' order by i) from unnest(_named) with ordinality as u (k, i)),
      _case.before, _case.after, _context, _case.rows_from, _case.condition);
  end loop;
  return format($text$create function %s returns trigger language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO, YMD' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1 as $capture$
declare
  plinth_base uuid := plinth_kernel.uuid_v7();
begin%s
  if tg_op = 'TRUNCATE' then
    insert into plinth_audit.entries (tenant_id, action, entity_type, source) select c.tenant_id, %L, %L, 'capture' from plinth_kernel.current_context() as c;
  end if;
  return null;
end
$capture$
$text$, p_function, _branches, p_entity_type || '.truncated', p_entity_type);
end
$$;
comment on function plinth_audit.capture_function(text, oid, text[], text[], text, text) is 'The create function statement of a table''s capture trigger.';
