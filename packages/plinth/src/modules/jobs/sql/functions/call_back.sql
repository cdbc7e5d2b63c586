-- A callback that is refused must not undo the end of the job that came last, nor what was settled with it: the batch says so.
create or replace function plinth_jobs.call_back(p_gate plinth_jobs.gates, p_completed bigint, p_failed bigint, p_cancelled bigint) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _constraint text;
begin
  insert into plinth_jobs.jobs_ready (tenant_id, id, kind, name, queue, priority, slot, payload, max_attempts, actor_type, actor_id, correlation_id, causation_id)
  select p_gate.tenant_id, plinth_kernel.uuid_v7(), b.kind, coalesce(b.name, p_gate.name), coalesce(b.queue, 'default'), coalesce(b.priority, 5), (select s.last_value from plinth_jobs.open_slot s),
    coalesce(b.payload, '{}') || jsonb_build_object('batch', jsonb_build_object('id', p_gate.id, 'name', p_gate.name, 'total', p_completed + p_failed + p_cancelled,
      'completed', p_completed, 'failed', p_failed, 'cancelled', p_cancelled)),
    b.max_attempts, p_gate.actor_type, p_gate.actor_id, p_gate.correlation_id, p_gate.id
  from (values (p_gate.on_complete, true), (p_gate.on_success, p_failed + p_cancelled = 0), (p_gate.on_part_failure, p_failed + p_cancelled > 0)) as v (callback, wanted)
  cross join lateral jsonb_to_record(v.callback) as b (kind text, name text, queue text, priority smallint, payload jsonb, max_attempts smallint)
  where v.wanted and v.callback is not null;
exception
  when others then
    get stacked diagnostics _constraint = constraint_name;
    if not plinth_jobs.is_refusal(sqlstate, _constraint) then
      raise;
    end if;
    update plinth_jobs.gates g set error = left(format('its callbacks could not be enqueued: %s', sqlerrm), 1000) where g.tenant_id = p_gate.tenant_id and g.id = p_gate.id;
end
$$;
comment on function plinth_jobs.call_back(plinth_jobs.gates, bigint, bigint, bigint) is 'Enqueues the callbacks of a batch that has finished; their payload has what became of it under batch. Those that are refused leave a note in the error of the batch.';
