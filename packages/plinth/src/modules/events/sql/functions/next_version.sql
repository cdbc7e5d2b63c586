-- p_current is the version of the stream right before this event, read under the lock of its head.
create or replace function plinth_events.next_version(p_current bigint, p_expected bigint, p_aggregate_type text, p_aggregate_id text) returns bigint
language plpgsql immutable
as $$
begin
  if p_expected is null or p_expected = p_current or (p_expected = -1 and p_current > 0) then
    return p_current + 1;
  end if;
  raise exception '% % %', p_aggregate_type, p_aggregate_id, case p_expected when -1 then 'does not exist' when 0 then 'exists already, at version ' || p_current
      else 'is at version ' || p_current || ', not ' || p_expected end
    using errcode = 'PL409',
      detail = pg_catalog.jsonb_build_object('code', 'events_version_conflict', 'aggregate_type', p_aggregate_type, 'aggregate_id', p_aggregate_id, 'expected', p_expected, 'actual', p_current)::text,
      hint = 'Read the events that were appended since, decide again, and append with the version you then see.';
end
$$;
comment on function plinth_events.next_version(bigint, bigint, text, text) is
  'Version of the next event of a stream. p_expected: null any, 0 none yet, -1 some, n exactly n. Error events_version_conflict.';
