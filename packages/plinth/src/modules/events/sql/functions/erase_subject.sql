create or replace function plinth.erase_subject(p_subject text, p_reason text) returns table (key_id uuid, erased_at timestamptz, first boolean)
language plpgsql volatile security invoker
as $$
#variable_conflict use_column
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _hash pg_catalog.bytea := sha256(convert_to(_tenant_id || ':' || p_subject, 'UTF8'));
  _key plinth_events.subject_keys;
begin
  perform plinth_events.require_reason(p_reason);
  if coalesce(length(p_subject), 0) not between 1 and 500 then
    raise exception 'A subject has 1 to 500 characters' using errcode = 'PL422', detail = '{"code":"events_operation_invalid"}', hint = 'Give the id that x-subject points to in the payloads.';
  end if;
  -- A row also where there was no key, so that what is appended later is not readable either; and the lock of it.
  insert into plinth_events.subject_keys as k (tenant_id, subject_hash, erased_at) values (_tenant_id, _hash, pg_catalog.clock_timestamp())
  on conflict (tenant_id, subject_hash) do nothing returning * into _key;
  if not found then
    select * into _key from plinth_events.subject_keys as k where k.tenant_id = _tenant_id and k.subject_hash = _hash for update;
    if _key.erased_at is not null then
      return query select _key.id, _key.erased_at, false;
      return;
    end if;
    update plinth_events.subject_keys as k set wrapped = null, master = null, erased_at = pg_catalog.clock_timestamp()
    where k.tenant_id = _tenant_id and k.id = _key.id returning * into _key;
    -- There was something to read, and projections may have it in their tables.
    perform plinth_kernel.projections_erased();
  end if;
  perform plinth.log_audit_event(p_action := 'subject.erased', p_resource_type := 'subject', p_resource_id := p_subject, p_reason := p_reason, p_severity := 'warning',
    p_after := pg_catalog.jsonb_build_object('key_id', _key.id, 'erased_at', _key.erased_at, 'subject_hash', pg_catalog.encode(_hash, 'hex')));
  perform plinth.publish_event('events.subject_erased', pg_catalog.jsonb_build_object('subject', p_subject, 'key_id', _key.id, 'erased_at', _key.erased_at));
  return query select _key.id, _key.erased_at, true;
end
$$;
comment on function plinth.erase_subject(text, text) is
  'Makes the personal fields of a data subject unreadable in all events of the tenant: deletes the key, writes the audit entry subject.erased, publishes events.subject_erased and calls projections stale that were given personal fields. For good; a second time nothing is done and first is false. Error events_operation_invalid.';
