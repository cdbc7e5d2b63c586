create or replace function plinth.preview_retry_schedule(p_schedule text default 'standard', p_seconds integer[] default null)
returns table (attempt integer, wait_seconds integer, after_seconds bigint, earliest_seconds double precision, latest_seconds double precision)
language plpgsql immutable security invoker set search_path = ''
as $$
declare
  _policy plinth_webhooks.subscriptions;
begin
  _policy.retry_schedule := coalesce(p_schedule, '');
  _policy.retry_seconds := p_seconds;
  perform plinth_webhooks.check_policy(_policy);
  return query
  select 1, 0, 0::bigint, 0::double precision, 0::double precision
  union all
  select (w.place + 1)::integer, w.wait, sum(w.wait) over (order by w.place), 0.8 * sum(w.wait) over (order by w.place), 1.2 * sum(w.wait) over (order by w.place)
  from unnest(plinth_webhooks.retry_seconds(p_schedule, p_seconds)) with ordinality as w (wait, place);
end
$$;
comment on function plinth.preview_retry_schedule(text, integer[]) is
  'The times at which a delivery that keeps failing would be tried, in seconds after the first attempt: by the schedule, and at the earliest and latest that the jitter allows. An open breaker or Retry-After makes them later. Error: webhooks_policy_invalid.';
