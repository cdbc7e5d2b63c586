create or replace function plinth.retry_parked_events(p_consumer text default null, p_id uuid default null, p_limit integer default 1000) returns integer
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant_id uuid := plinth_kernel.acting_tenant();
  _count integer;
begin
  if num_nonnulls(p_consumer, p_id) = 0 or p_limit not between 1 and 100000 then
    raise exception 'Name a consumer, or one parked event; at most 100,000 at a time' using errcode = 'PL422', detail = '{"code":"events_operation_invalid"}',
      hint = 'Pass p_consumer or p_id.';
  end if;
  with chosen as (
    select p.tenant_id, p.id from plinth_events.parked as p
    where p.status in ('parked', 'failing') and (_tenant_id is null or p.tenant_id = _tenant_id) and (p_consumer is null or p.consumer = p_consumer) and (p_id is null or p.id = p_id)
    order by p.position limit p_limit for update skip locked
  ), asked as (
    update plinth_events.parked as p set status = case p.status when 'parked' then 'due' else 'failing' end, retry_at = null, updated_at = now() from chosen as c where p.tenant_id = c.tenant_id and p.id = c.id returning 1
  )
  select count(*) into _count from asked;
  if _count = 0 and p_id is not null then
    raise exception 'There is no parked event %', p_id using errcode = 'PL404', detail = '{"code":"events_parked_not_found"}', hint = 'Look for it in plinth.parked_events; only one with status parked or failing can be tried again.';
  end if;
  if _count > 0 then
    perform plinth_events.audit_operation(_tenant_id, 'events.parked_retried', 'parked_event', coalesce(p_id::text, p_consumer), jsonb_build_object('count', _count), null);
  end if;
  return _count;
end
$$;
comment on function plinth.retry_parked_events(text, uuid, integer) is
  'Has parked events tried again, by position: one, or those of a consumer; and failing ones at once. Of the tenant of the transaction; by plinth_worker of all. Returns how many. The worker looks within a second or two; one that was parked and fails is parked again. Recorded in the audit log. Errors: events_parked_not_found, events_operation_invalid, kernel_tenant_required.';
