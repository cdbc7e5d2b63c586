-- What is said of the consumers of a log. Definer rights for the reason of feed_windows.
create or replace function plinth_kernel.feed_pauses(p_feed text)
returns table (consumer text, paused_at timestamptz, paused_until timestamptz, pause_reason text, paused_by text, rewound_at timestamptz, created_at timestamptz)
language sql stable security definer rows 8 set search_path = ''
as $$
  select c.consumer, case when c.paused_until > pg_catalog.clock_timestamp() then c.paused_at end, case when c.paused_until > pg_catalog.clock_timestamp() then c.paused_until end,
    case when c.paused_until > pg_catalog.clock_timestamp() then c.pause_reason end, case when c.paused_until > pg_catalog.clock_timestamp() then c.paused_by end, c.rewound_at, c.created_at
  from plinth_kernel.feed_consumers as c where c.feed = p_feed
$$;
comment on function plinth_kernel.feed_pauses(text) is 'Consumers of a log with their pauses, those that are over left out.';
