-- The snapshot in which every transaction has ended: the upper end of an epoch that is over.
create or replace function plinth_kernel.feed_everything() returns pg_snapshot
language sql immutable parallel safe
return '9223372036854775807:9223372036854775807:'::pg_snapshot;
comment on function plinth_kernel.feed_everything() is 'A snapshot that sees every transaction id.';
