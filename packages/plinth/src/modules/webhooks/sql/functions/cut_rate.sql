-- The first 429 says only that it was too much: half of what was sent then, by Little's law (attempts under way, divided by the time that each takes). From
-- then on what came through in between says more: the rate falls to that, but to no less than a quarter at once, and by a fifth at least.
create or replace function plinth_webhooks.cut_rate(p_rate double precision, p_done integer, p_seconds double precision, p_running integer, p_latency_ms double precision) returns double precision
language sql immutable parallel safe
return greatest(1.0 / 60, case
  when p_rate is null then 0.5 * greatest(p_running, 1) / (greatest(p_latency_ms, 1) / 1000)
  else least(0.8 * p_rate, greatest(p_done / greatest(p_seconds, 0.001), p_rate / 4)) end);
comment on function plinth_webhooks.cut_rate(double precision, integer, double precision, integer, double precision) is
  'Attempts a second after a 429: from the rate before it (null: there was none) and how much was delivered in how many seconds since the one before; without a rate from the attempts under way and their latency. At least one a minute.';
