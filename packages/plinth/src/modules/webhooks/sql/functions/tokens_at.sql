-- A time of the future was written before the clock was set back: the bucket is full, as it would be soon, and nobody waits until that time comes again.
create or replace function plinth_webhooks.tokens_at(p_rate double precision, p_tokens double precision, p_refilled_at timestamptz, p_now timestamptz) returns double precision
language sql immutable parallel safe
return case when p_rate is null then null when p_refilled_at is null or p_refilled_at > p_now + interval '1 second' then greatest(p_rate, 1) else least(greatest(p_rate, 1), p_tokens + p_rate * greatest(extract(epoch from p_now - p_refilled_at), 0)) end;
comment on function plinth_webhooks.tokens_at(double precision, double precision, timestamptz, timestamptz) is 'Attempts that a throttle allows now: refilled at p_rate a second, never more than one second''s worth, at least 1 when full. Null without a rate.';
