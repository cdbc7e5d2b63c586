-- With what was noted and is not folded in yet. Definer rights for the reason of feed_windows.
create or replace function plinth_kernel.projection_states() returns setof plinth_kernel.feed_projections
language sql stable security definer rows 8 set search_path = ''
as $$
  select p.name, p.kind, p.revision, p.declared, p.declared_at, p.phase, p.rebuild_revision, p.shadows, p.cancel_reason, p.error, p.comparison,
    p.opened or exists (select from plinth_kernel.projection_notes as n where n.name = p.name),
    p.erasures + (select count(*) from plinth_kernel.projection_notes as n where n.name is null),
    p.rebuild_erasures, p.rebuild_started_at, p.rebuilt_at, p.created_at, p.updated_at
  from plinth_kernel.feed_projections as p
$$;
comment on function plinth_kernel.projection_states() is 'Projections with their revisions and rebuilds.';
