create or replace function plinth_kernel.projection_cancel(p_name text, p_reason text) returns boolean
language sql volatile set search_path = ''
as $$
  with asked as (
    update plinth_kernel.feed_projections set cancel_reason = p_reason, updated_at = pg_catalog.clock_timestamp() where name = p_name and phase is not null returning 1)
  select exists (select from asked)
$$;
comment on function plinth_kernel.projection_cancel(text, text) is 'Asks the process that rebuilds a projection to stop and to leave no trace. False: it is not being rebuilt. For plinth_worker.';
