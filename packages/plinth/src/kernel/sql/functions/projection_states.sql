-- Definer rights for the reason of feed_windows.
create or replace function plinth_kernel.projection_states() returns setof plinth_kernel.feed_projections
language sql stable security definer rows 8 set search_path = ''
as $$
  select * from plinth_kernel.feed_projections
$$;
comment on function plinth_kernel.projection_states() is 'Projections with their revisions and rebuilds.';
