create or replace function plinth_maintenance.policy_kind(p_kind text) returns plinth_kernel.retention_kinds
language plpgsql stable set search_path = ''
as $$
declare
  _kind plinth_kernel.retention_kinds;
begin
  select * into _kind from plinth_kernel.retention_kinds as k where k.kind = p_kind;
  if not found then
    raise exception 'there is no kind of record called %', coalesce(p_kind, 'null') using errcode = 'PL404', detail = '{"code":"maintenance_kind_unknown"}',
      hint = 'The kinds are listed in plinth.retention_policies: audit.entries, events.events, ...';
  end if;
  return _kind;
end
$$;
comment on function plinth_maintenance.policy_kind(text) is 'The facts of a kind. Error maintenance_kind_unknown.';
