create or replace view plinth.audited_tables with (security_invoker = true) as
select c.oid::regclass::text as table_name, (d.card ->> 'entity_type') as entity_type,
  array(select jsonb_array_elements_text(d.card -> 'redacted')) as redacted, t.tgenabled <> 'D' as enabled
from pg_catalog.pg_trigger as t
join pg_catalog.pg_class as c on c.oid = t.tgrelid
cross join lateral (select pg_catalog.obj_description(t.tgfoid, 'pg_proc')::jsonb as card) as d
where t.tgname = 'plinth_capture_insert';
comment on view plinth.audited_tables is 'Tables captured by plinth.audit_table, read from their triggers. Tables are the installation''s, so every tenant sees the same.';
