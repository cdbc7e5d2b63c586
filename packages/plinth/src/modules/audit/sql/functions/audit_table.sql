-- Captures the row changes of a table with statement triggers and transition tables: one insert for all rows of a statement.
-- The trigger function is written for the table, with its columns in it, because a generic one that builds its SQL at run time
-- plans it again on every statement. It lives beside the table and belongs to who calls this, who must own the table. Its name is drawn
-- anew on every call: names of tables are cut off and change, and oids do not survive a restore. Triggers know their function by its oid.
create or replace function plinth.audit_table(p_table regclass, p_redact text[] default '{}', p_entity_type text default null, p_tenant_column text default 'tenant_id')
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _schema text;
  _name text;
  _kind "char";
  _keys text[];
  _missing text;
  _has_tenant boolean;
  _function text;
begin
  select n.nspname, c.relname, c.relkind into _schema, _name, _kind
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table;
  select array_agg(a.attname order by array_position(i.indkey::int2[], a.attnum)) into _keys
  from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
  where i.indrelid = p_table and i.indisprimary;
  if _kind not in ('r', 'p') or _keys is null then
    raise exception '% cannot be captured', p_table using errcode = 'PL422', detail = '{"code":"audit_table_unsupported"}',
      hint = 'Capture an ordinary or partitioned table that has a primary key.';
  end if;
  select r into _missing from unnest(p_redact) as r
  where not exists (select from pg_catalog.pg_attribute where attrelid = p_table and attname = r and attnum > 0 and not attisdropped) limit 1;
  if _missing is not null then
    raise exception '% has no column %', p_table, _missing using errcode = 'PL422', detail = '{"code":"audit_table_unsupported"}', hint = 'Redact columns that exist.';
  end if;
  select k into _missing from unnest(_keys) as k where k = any (p_redact) limit 1;
  if _missing is not null then
    raise exception 'column % of % is in its primary key, by which entries name the row', _missing, p_table using errcode = 'PL422', detail = '{"code":"audit_table_unsupported"}',
      hint = 'Redact columns outside of the key; give the table a key that may be shown.';
  end if;
  select exists (select from pg_catalog.pg_attribute where attrelid = p_table and attname = p_tenant_column and atttypid = 'uuid'::regtype and not attisdropped) into _has_tenant;
  -- A slip in the name would put the rows of all tenants into the log of whoever wrote them.
  if not _has_tenant and p_tenant_column <> 'tenant_id' then
    raise exception '% has no column % of type uuid', p_table, p_tenant_column using errcode = 'PL422', detail = '{"code":"audit_table_unsupported"}',
      hint = 'Name the uuid column that holds the tenant, or leave p_tenant_column out to take the tenant of the transaction.';
  end if;
  perform plinth.unaudit_table(p_table);
  _function := format('%I.%I()', _schema, 'plinth_capture_' || replace(plinth_kernel.uuid_v7()::text, '-', ''));
  execute plinth_audit.capture_function(_function, p_table, _keys, p_redact, coalesce(p_entity_type, _name), case when _has_tenant then p_tenant_column end);
  execute format('comment on function %s is %L', _function, jsonb_build_object('entity_type', coalesce(p_entity_type, _name), 'redacted', p_redact));
  execute format('create trigger plinth_capture_insert after insert on %s referencing new table as plinth_new for each statement execute function %s', p_table, _function);
  execute format('create trigger plinth_capture_update after update on %s referencing old table as plinth_old new table as plinth_new for each statement execute function %s', p_table, _function);
  execute format('create trigger plinth_capture_delete after delete on %s referencing old table as plinth_old for each statement execute function %s', p_table, _function);
  execute format('create trigger plinth_capture_truncate after truncate on %s for each statement execute function %s', p_table, _function);
end
$$;
comment on function plinth.audit_table(regclass, text[], text, text) is
  'Captures every insert, update, delete and truncate of a table as audit entries in the same transaction. p_redact: columns whose values are kept as [redacted]. p_entity_type: default the table name. The entity id is the primary key, without the tenant column where it has others, joined by commas. p_tenant_column: uuid column that holds the tenant; where the table has no tenant_id the transaction''s tenant is used. Call it again with other redactions, and in the transaction that renames or drops a redacted column: until then writes are refused with audit_redaction_lost. Errors: audit_table_unsupported.';
