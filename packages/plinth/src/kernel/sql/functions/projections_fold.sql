create or replace function plinth_kernel.projections_fold() returns void
language plpgsql volatile set search_path = ''
as $$
declare
  _erased bigint;
  _opened jsonb;
begin
  with taken as (delete from plinth_kernel.projection_notes as n returning n.name, n.kind, n.revision)
  select count(*) filter (where t.name is null), jsonb_agg(distinct to_jsonb(t)) filter (where t.name is not null) into _erased, _opened from taken as t;
  insert into plinth_kernel.feed_projections as p (name, kind, declared, opened)
  select distinct on (o.name) o.name, o.kind, o.revision, true from jsonb_to_recordset(_opened) as o (name text, kind text, revision text) order by o.name
  on conflict (name) do update set opened = true, updated_at = clock_timestamp();
  if _erased > 0 then
    update plinth_kernel.feed_projections set erasures = erasures + _erased, updated_at = clock_timestamp();
  end if;
end
$$;
comment on function plinth_kernel.projections_fold() is 'Puts what was noted of projections since into feed_projections, so that there is little to count. For plinth_worker.';
