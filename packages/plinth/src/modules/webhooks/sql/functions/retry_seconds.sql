create or replace function plinth_webhooks.retry_seconds(p_schedule text, p_custom integer[] default null) returns integer[]
language sql immutable parallel safe
return case p_schedule
  when 'standard' then '{5,300,1800,7200,18000,36000,50400,72000,86400}'::integer[]
  when 'short' then '{5,15,60,300,900}'::integer[]
  when 'long' then '{5,300,1800,7200,18000,36000,50400,72000,86400,86400,86400,86400,86400}'::integer[]
  when 'none' then '{}'::integer[]
  when 'custom' then p_custom
end;
comment on function plinth_webhooks.retry_seconds(text, integer[]) is 'Waits of a named retry schedule in seconds: standard (that of Standard Webhooks, 75.6 hours), short (21 minutes), long (7 days), none, custom (p_custom).';
