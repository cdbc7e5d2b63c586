-- Definer rights: an inline projection runs as the application. An insert for the reason of projections_erased.
create or replace function plinth_kernel.projection_opened(p_name text, p_kind text, p_revision text) returns void
language sql volatile security definer set search_path = ''
as $$
  insert into plinth_kernel.projection_notes (name, kind, revision)
  select p_name, p_kind, p_revision
  where not exists (select from plinth_kernel.feed_projections as o where o.name = p_name and o.opened) and not exists (select from plinth_kernel.projection_notes as n where n.name = p_name)
$$;
comment on function plinth_kernel.projection_opened(text, text, text) is 'Notes that a projection was given personal fields in readable form, so that its tables may hold them after an erasure.';
