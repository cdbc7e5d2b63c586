create or replace function plinth.close_batch(p_id uuid) returns void
language sql volatile security invoker set search_path = ''
as $$
  select plinth_jobs.write_effects(jsonb_build_array(jsonb_build_object('more', jsonb_build_object('close_batch', p_id))))
$$;
comment on function plinth.close_batch(uuid) is 'Closes a batch that was made open: it finishes when its jobs have ended. Closing it twice does nothing. Errors: kernel_tenant_required, jobs_batch_not_found.';
