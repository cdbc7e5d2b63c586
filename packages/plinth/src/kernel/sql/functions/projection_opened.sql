-- Definer rights: an inline projection runs as the application. What is noted already takes no lock.
create or replace function plinth_kernel.projection_opened(p_name text, p_kind text, p_revision text) returns void
language sql volatile security definer set search_path = ''
as $$
  insert into plinth_kernel.feed_projections as p (name, kind, declared, opened)
  select p_name, p_kind, p_revision, true where not exists (select from plinth_kernel.feed_projections as o where o.name = p_name and o.opened)
  on conflict (name) do update set opened = true, updated_at = pg_catalog.clock_timestamp()
$$;
comment on function plinth_kernel.projection_opened(text, text, text) is 'Notes that a projection was given personal fields in readable form, so that its tables may hold them after an erasure.';
