create or replace function plinth_kernel.feed_pause(p_feed text, p_consumer text, p_reason text, p_until timestamptz default 'infinity') returns boolean
language sql volatile set search_path = ''
as $$
  with paused as (
    update plinth_kernel.feed_consumers as c set paused_at = coalesce(c.paused_at, pg_catalog.clock_timestamp()), paused_until = p_until, pause_reason = p_reason,
      paused_by = coalesce(plinth_kernel.setting('actor_id'), session_user)
    where c.feed = p_feed and c.consumer = p_consumer returning 1)
  select exists (select from paused)
$$;
comment on function plinth_kernel.feed_pause(text, text, text, timestamptz) is
  'A consumer is given nothing until p_until (default: until feed_resume). A batch that it is handling is finished. False: there is no such consumer.';
