-- Each wait is up to 20 % longer or shorter, so that what failed together does not come back together.
create or replace function plinth_webhooks.retry_delay(p_step integer, p_jitter double precision default random(), p_seconds integer[] default plinth_webhooks.retry_seconds('standard')) returns interval
language sql volatile parallel safe
return p_seconds[p_step] * (0.8 + 0.4 * p_jitter) * interval '1 second';
comment on function plinth_webhooks.retry_delay(integer, double precision, integer[]) is 'Wait after the attempt of this number (1 is the first) failed, with jitter from 0 to 1; null after the last of the schedule.';
