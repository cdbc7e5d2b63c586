-- Grows by a hundredth of the ceiling a second, at least a tenth of an attempt: what a 429 took comes back in 20 s, and a receiver that takes more than it did is
-- found out. A function of time, so that a lane is not written for it.
create or replace function plinth_webhooks.lane_rate(p_rate double precision, p_ceiling double precision, p_limited_at timestamptz, p_now timestamptz) returns double precision
language sql immutable parallel safe
return case when p_now - p_limited_at < interval '1 hour' then p_rate + greatest(p_ceiling / 100, 0.1) * greatest(extract(epoch from p_now - p_limited_at), 0) end;
comment on function plinth_webhooks.lane_rate(double precision, double precision, timestamptz, timestamptz) is
  'Attempts a second that the receiver of a lane is trusted with now, since it answered 429; null when it did not within an hour.';
