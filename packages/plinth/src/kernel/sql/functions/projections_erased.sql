-- For all projections, also those that were given nothing so far: one that is being given something right now is noted when its transaction commits. A count and no
-- time, because a rebuild shows the erasures that had committed when it began and no others. An insert, because the row of a projection is everybody's, and the
-- transaction of a tenant that stays open would keep other tenants and the workers waiting for it. Definer rights: whoever erases may not write this table.
create or replace function plinth_kernel.projections_erased() returns void
language sql volatile security definer set search_path = ''
as $$
  insert into plinth_kernel.projection_notes default values
$$;
comment on function plinth_kernel.projections_erased() is 'Notes the erasure of a data subject for the tables of all projections: those that were given personal fields are stale until they were rebuilt.';
