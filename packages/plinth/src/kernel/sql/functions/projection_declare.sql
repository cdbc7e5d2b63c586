-- New tables are taken for what the code makes of the log, as it has only begun to read it; of older ones nobody knows.
create or replace function plinth_kernel.projection_declare(p_name text, p_kind text, p_revision text, p_new boolean) returns void
language sql volatile set search_path = ''
as $$
  insert into plinth_kernel.feed_projections as p (name, kind, revision, declared) values (p_name, p_kind, case when p_new then p_revision end, p_revision)
  on conflict (name) do update set kind = excluded.kind, declared = excluded.declared, updated_at = pg_catalog.clock_timestamp()
  where (p.kind, p.declared) is distinct from (excluded.kind, excluded.declared)
$$;
comment on function plinth_kernel.projection_declare(text, text, text, boolean) is 'Notes the revision of the code that runs a projection. p_new: nothing is in its tables yet. For plinth_worker.';
