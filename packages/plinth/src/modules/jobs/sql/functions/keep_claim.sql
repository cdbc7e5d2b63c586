create or replace function plinth_jobs.keep_claim(p_id uuid, p_tenant_ids uuid[], p_job_ids uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if cardinality(p_job_ids) = 0 then
    delete from plinth_jobs.claims c where c.id = p_id;
  else
    update plinth_jobs.claims c set tenant_ids = p_tenant_ids, job_ids = p_job_ids where c.id = p_id;
  end if;
end
$$;
comment on function plinth_jobs.keep_claim(uuid, uuid[], uuid[]) is 'Leaves these jobs in a claim that is taken back; with none left, it is gone.';
