-- p_version was read under the lock of the head. Inserts compare by themselves and call this for the rest only: starting a call takes as long as the comparison.
create or replace function plinth_events.next_version(p_version bigint, p_expected bigint, p_aggregate_type text, p_aggregate_id text) returns bigint
language plpgsql immutable
as $$
begin
  if p_expected is null or p_expected = p_version - 1 or (p_expected = -1 and p_version > 1) then
    return p_version;
  elsif p_expected < -1 then
    perform plinth_events.require_valid('none', '{}', p_aggregate_type, p_aggregate_id, p_expected, null, null, null);
  end if;
  raise exception '% % %', p_aggregate_type, p_aggregate_id, case p_expected when -1 then 'does not exist' when 0 then 'exists already, at version ' || p_version - 1
      else 'is at version ' || p_version - 1 || ', not ' || p_expected end
    using errcode = 'PL409',
      detail = pg_catalog.jsonb_build_object('code', 'events_version_conflict', 'aggregate_type', p_aggregate_type, 'aggregate_id', p_aggregate_id, 'expected', p_expected, 'actual', p_version - 1)::text,
      hint = 'Read the events that were appended since, decide again, and append with the version you then see.';
end
$$;
comment on function plinth_events.next_version(bigint, bigint, text, text) is
  'p_version, that of the next event of a stream, where the stream before it is as expected. p_expected: null any, 0 none yet, -1 some, n exactly n. Errors events_version_conflict, and events_event_invalid for what is no expected version.';
