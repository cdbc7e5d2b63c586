-- Nobody else may publish these by the API, nor say what must be in them: an erasure that could not be told would not be done.
create or replace function plinth_events.own_types() returns text[]
language sql immutable parallel safe
return array['events.subject_erased', 'webhooks.subscription_disabled', 'webhooks.subscription_failing'];
comment on function plinth_events.own_types() is 'Event types that Plinth itself publishes.';
