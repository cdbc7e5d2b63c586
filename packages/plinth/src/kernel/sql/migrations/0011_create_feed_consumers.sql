-- why: what is said of a consumer as a whole: that it is paused, since when and why
-- locks: none, everything is new
-- breaking: no
create table plinth_kernel.feed_consumers (
  feed text not null,
  consumer text not null,
  paused_at timestamptz,
  -- infinity: until somebody resumes it.
  paused_until timestamptz,
  pause_reason text,
  paused_by text,
  rewound_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (feed, consumer),
  constraint a_pause_has_an_end_and_a_reason check (num_nulls(paused_at, paused_until, pause_reason) in (0, 3))
);
comment on table plinth_kernel.feed_consumers is 'Consumers of a log. A table of its own, and not columns of the cursors: a pause must not wait for the batches that hold those.';
