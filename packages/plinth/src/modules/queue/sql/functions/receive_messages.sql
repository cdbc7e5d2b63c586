create or replace function plinth.receive_messages(p_queue text, p_limit integer default 1, p_visibility interval default null)
returns table (id uuid, tenant_id uuid, queue text, payload jsonb, headers jsonb, group_key text, receipt text, receives integer, visible_until timestamptz,
  sent_at timestamptz, correlation_id uuid, causation_id uuid)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.tenant_id();
  _tenants uuid[];
  _start uuid;
  _left integer := p_limit;
  _got integer;
begin
  if p_limit is null or p_limit not between 1 and 1000 or p_queue is null
    or p_visibility not between interval '1 millisecond' and interval '12 hours' then
    raise exception 'A receiver takes 1 to 1,000 messages of one queue and hides them for 1 ms to 12 hours' using errcode = 'PL422', detail = '{"code":"queue_receive_invalid"}',
      hint = 'Correct p_queue, p_limit or p_visibility.';
  end if;
  if _tenant is not null or not pg_has_role(current_user, 'plinth_worker', 'usage') then
    return query select * from plinth_queue.take(coalesce(_tenant, plinth_kernel.require_tenant()), p_queue, p_limit, p_visibility);
    return;
  end if;
  -- Every tenant that has something gets an equal share, beginning at a random one; what is left over goes to whoever has more.
  _start := plinth_kernel.v7_floor(to_timestamp(extract(epoch from plinth_kernel.v7_time((select t.id from plinth_kernel.tenants t where t.id > plinth_kernel.v7_floor('2020-01-01') order by t.id limit 1))) * (1 - random())
    + extract(epoch from clock_timestamp()) * random()));
  _start := coalesce(_start, '00000000-0000-0000-0000-000000000000');
  -- As many as there are places, and as many again for those that others are faster at: with thousands of tenants the rest would be looked at for nothing.
  select array_agg(t) into _tenants from (
    select t from plinth_queue.tenants_waiting(p_queue, _start, 'ffffffff-ffff-ffff-ffff-ffffffffffff', least(1000, 2 * p_limit)) t
    union all
    select t from plinth_queue.tenants_waiting(p_queue, '00000000-0000-0000-0000-000000000000', _start, least(1000, 2 * p_limit)) t
    limit least(1000, 2 * p_limit)
  ) as both_halves (t);
  for _round in 1 .. 2 loop
    foreach _tenant in array coalesce(_tenants, '{}') loop
      exit when _left <= 0;
      return query select * from plinth_queue.take(_tenant, p_queue, case _round when 1 then least(_left, greatest(1, p_limit / cardinality(_tenants))) else _left end, p_visibility);
      get diagnostics _got = row_count;
      _left := _left - _got;
    end loop;
  end loop;
end
$$;
comment on function plinth.receive_messages(text, integer, interval) is
  'Receives up to p_limit (1 to 1,000) messages of a queue and hides each from other receivers for p_visibility (default: that of the queue, 30 seconds). Commit it at once; acknowledge with the receipt when the work is done. In a role plinth_worker without a tenant it receives from all tenants, each its share. Errors: kernel_tenant_required, queue_receive_invalid.';
