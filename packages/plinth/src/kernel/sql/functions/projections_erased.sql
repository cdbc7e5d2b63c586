-- All of them, also those that were given nothing so far: one that is being given something right now is noted when its transaction commits. A count and no
-- time, because a rebuild shows the erasures that had committed when it began and no others. Definer rights: whoever erases may not write this table.
create or replace function plinth_kernel.projections_erased() returns void
language sql volatile security definer set search_path = ''
as $$
  update plinth_kernel.feed_projections set erasures = erasures + 1, updated_at = pg_catalog.clock_timestamp()
$$;
comment on function plinth_kernel.projections_erased() is 'Notes the erasure of a data subject for the tables of all projections: those that were given personal fields are stale until they were rebuilt.';
