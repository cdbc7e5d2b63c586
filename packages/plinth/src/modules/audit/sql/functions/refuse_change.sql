-- Only the retention engine, which acts as plinth_owner, may delete; nobody may update.
create or replace function plinth_audit.refuse_change() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'DELETE' and current_user = 'plinth_owner' then
    return old;
  end if;
  raise exception 'audit entries cannot be changed or deleted' using errcode = 'PL403', detail = '{"code":"audit_append_only"}',
    hint = 'Write a new entry that corrects the old one; old entries leave by the retention policy.';
end
$$;
comment on function plinth_audit.refuse_change() is 'Keeps audit entries append only.';
