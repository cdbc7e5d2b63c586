-- Only the retention engine, which acts as plinth_owner, may delete; nobody may update.
create or replace function plinth_events.refuse_change() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'DELETE' and current_user = 'plinth_owner' then
    return old;
  end if;
  raise exception 'events cannot be changed or deleted' using errcode = 'PL403', detail = '{"code":"events_append_only"}',
    hint = 'Publish a new event that corrects the old one; old events leave by the retention policy.';
end
$$;
comment on function plinth_events.refuse_change() is 'Keeps events append only.';
