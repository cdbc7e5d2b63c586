-- The process that started last has the word. One of another revision that still runs may have written since the tables were made, and so has whatever ran before
-- another revision was declared: then nobody knows by which code they are. That an async one wrote nothing since it was rebuilt, because its workers had ended, is seen in its cursors.
-- Processes say every hour that they run; who has said nothing for two is gone.
-- New tables are taken for what the code makes of the log, as it has only begun to read it; of older ones nobody knows.
create or replace function plinth_kernel.projection_declare(p_name text, p_kind text, p_revision text, p_new boolean, p_by text) returns void
language sql volatile set search_path = ''
as $$
  insert into plinth_kernel.feed_projections as p (name, kind, revision, declared, declared_at)
  values (p_name, p_kind, case when p_new then p_revision end, p_revision, case when p_by <> 'visitor' then pg_catalog.clock_timestamp() end)
  on conflict (name) do nothing;
  update plinth_kernel.feed_projections as p
  set kind = p_kind, declared = p_revision,
    revision = case when p.declared in (p_revision, p.revision) or p.kind = 'async'
      and not exists (select from plinth_kernel.feed_cursors as c where c.consumer = p_name and c.updated_at > coalesce(p.rebuilt_at, '-infinity')) then p.revision end,
    declared_at = case when p_by <> 'visitor' then pg_catalog.clock_timestamp() end, updated_at = pg_catalog.clock_timestamp()
  where p.name = p_name and case
    when p.declared = p_revision and p.kind = p_kind then p_by <> 'visitor' and coalesce(p.declared_at < pg_catalog.clock_timestamp() - interval '30 minutes', true)
    else p_by = 'started' or p.declared_at is null or p_by = 'running' and p.declared_at < pg_catalog.clock_timestamp() - interval '2 hours' end;
  update plinth_kernel.feed_projections as p set revision = null, updated_at = pg_catalog.clock_timestamp()
  where p.name = p_name and p_by = 'running' and p.declared <> p_revision and p.revision = p.declared
$$;
comment on function plinth_kernel.projection_declare(text, text, text, boolean, text) is
  'Notes the revision of the code that runs a projection. p_new: nothing is in its tables yet. p_by: a process that has started with it, one that is running, or a visitor, who only rebuilds or looks. For plinth_worker.';
