create or replace function plinth_jobs.checked_filter(p_filter jsonb) returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  _wrong text;
begin
  select k into _wrong from jsonb_object_keys(case when jsonb_typeof(p_filter) = 'object' then p_filter else '{"": 1}' end) k
  where k <> all (array['kind', 'queue', 'error', 'failed_after', 'failed_before']) limit 1;
  if _wrong is not null then
    -- A misspelt filter would be no filter.
    raise exception 'Dead letters are not filtered by %', to_jsonb(_wrong) using errcode = 'PL422', detail = '{"code":"jobs_filter_invalid"}', hint = 'Use kind, queue, error, failed_after and failed_before.';
  end if;
  return p_filter;
end
$$;
comment on function plinth_jobs.checked_filter(jsonb) is 'The filter of dead letters, or error jobs_filter_invalid when it has a key that is none.';
