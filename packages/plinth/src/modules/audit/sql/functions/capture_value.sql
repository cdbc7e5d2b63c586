-- A column in a capture statement: of the new row, of the old row, or of whichever there is.
create or replace function plinth_audit.capture_value(p_column text, p_operation text, p_otherwise text) returns text
language sql stable
begin atomic
  select case
    when p_column is null then p_otherwise
    when p_operation = 'INSERT' then format('plinth_new.%I', p_column)
    when p_operation = 'DELETE' then format('plinth_old.%I', p_column)
    else format('coalesce(plinth_new.%1$I, plinth_old.%1$I)', p_column)
  end;
end;
comment on function plinth_audit.capture_value(text, text, text) is 'Text of a column reference in a capture statement.';
