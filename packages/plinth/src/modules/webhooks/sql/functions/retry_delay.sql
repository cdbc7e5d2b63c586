-- The schedule that Standard Webhooks gives as its example: ten attempts within about 76 hours, each wait up to 20 % longer or shorter, so
-- that what failed together does not come back together.
create or replace function plinth_webhooks.retry_delay(p_attempts integer, p_jitter double precision default random()) returns interval
language sql volatile parallel safe set search_path = ''
return (array[5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400])[p_attempts] * (0.8 + 0.4 * p_jitter) * interval '1 second';
comment on function plinth_webhooks.retry_delay(integer, double precision) is 'Wait after the attempt of this number (1 is the first) failed, with jitter from 0 to 1; null after the tenth, which is the last.';
