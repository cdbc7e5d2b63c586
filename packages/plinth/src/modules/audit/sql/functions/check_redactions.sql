-- Asked once a statement, before its rows are written down: a mask under an old name would let the values through under the new one. It
-- looks at a row and at what the server has in mind of the table, not at the catalogue by the transaction's snapshot, which may be older
-- than a change of the table. Numbers of columns hold for the table that the trigger was written for; a restore may have given others.
create or replace function plinth_audit.check_redactions(p_table oid, p_row jsonb, p_written_for oid, p_redacted jsonb) returns void
language plpgsql stable set search_path = ''
as $$
declare
  _lost text;
begin
  select r.key into _lost from jsonb_each(p_redacted) as r
  where not p_row ? r.key
    or p_table = p_written_for and (pg_identify_object_as_address('pg_catalog.pg_class'::regclass, p_table, r.value::integer)).object_names[3] is distinct from r.key
  limit 1;
  if _lost is not null then
    raise exception 'column % of %, which the audit log must not show, was renamed or dropped', _lost, p_table::regclass
      using errcode = 'PL409', detail = jsonb_build_object('code', 'audit_redaction_lost', 'column', _lost),
      hint = 'Call plinth.audit_table again with the columns to redact, in the transaction that renames or drops one.';
  end if;
end
$$;
comment on function plinth_audit.check_redactions(oid, jsonb, oid, jsonb) is
  'Refuses to capture a table of which a redacted column was renamed or dropped. p_redacted: {"column": its number}. Errors: audit_redaction_lost.';
