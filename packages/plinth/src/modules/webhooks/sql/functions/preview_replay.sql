create or replace function plinth.preview_replay(p_subscription_id uuid, p_since timestamptz default null, p_until timestamptz default null, p_patterns text[] default null, p_ids uuid[] default null, p_only_failed boolean default false, p_filter jsonb default null)
returns integer
language sql volatile security invoker set search_path = ''
as $$
  select (plinth_webhooks.replay_window(p_subscription_id, p_since, p_until, p_patterns, p_ids, p_only_failed, p_filter)).total
$$;
comment on function plinth.preview_replay(uuid, timestamptz, timestamptz, text[], uuid[], boolean, jsonb) is
  'How many deliveries plinth.start_replay with the same arguments would add at most, counted to the first 100,000 events of the range; filters are judged of the first 10,000. What waits anyway is not counted. Errors: webhooks_subscription_not_found, webhooks_replay_invalid, webhooks_pattern_invalid, webhooks_filter_invalid.';
