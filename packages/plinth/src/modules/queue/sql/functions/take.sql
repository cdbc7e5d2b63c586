-- An empty queue is looked at without a write and without a transaction id.
create or replace function plinth_queue.take(p_tenant uuid, p_queue text, p_limit integer, p_visibility interval)
returns table (id uuid, tenant_id uuid, queue text, payload jsonb, headers jsonb, group_key text, receipt text, receives integer, visible_until timestamptz,
  sent_at timestamptz, correlation_id uuid, causation_id uuid)
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  _settings record;
  _cursor record;
  _visibility interval;
  _start bigint;
  _ids uuid[] := '{}';
  _receives integer[] := '{}';
  _until timestamptz[] := '{}';
  _more record;
  _over bigint := 0;
  _before bigint;
  _least uuid;
  _most uuid;
begin
  select * into _settings from plinth_queue.settings_of(p_tenant, p_queue);
  _visibility := coalesce(p_visibility, _settings.visibility_ms * interval '1 millisecond');
  select c.position, c.due_at, c.moved_at into _cursor from plinth_queue.cursors c where c.tenant_id = p_tenant and c.queue = p_queue;

  -- Again where all that was found has expired or become a dead letter: others may wait behind it.
  loop
    _before := _over;
    select array_agg(t.id) filter (where t.visible_at is not null) as ids, array_agg(t.receives) filter (where t.visible_at is not null) as receives,
      array_agg(t.visible_at) filter (where t.visible_at is not null) as until, count(*) filter (where t.visible_at is null) as over into _more
    from plinth_queue.take_late(p_tenant, p_queue, coalesce(_cursor.due_at, '-infinity'), p_limit, _visibility, _settings.max_receives, _settings.oldest, _settings.gone) t;
    _ids := _ids || _more.ids; _receives := _receives || _more.receives; _until := _until || _more.until; _over := _over + _more.over;

    if cardinality(_ids) < p_limit and exists (select from plinth_queue.grouped g where g.tenant_id = p_tenant and g.queue = p_queue) then
      -- From a random group on and round, so that no group is always the last.
      _start := hashtextextended(random()::text, 0);
      select array_agg(t.id) filter (where t.visible_at is not null) as ids, array_agg(t.receives) filter (where t.visible_at is not null) as receives,
        array_agg(t.visible_at) filter (where t.visible_at is not null) as until, count(*) filter (where t.visible_at is null) as over into _more
      from plinth_queue.take_groups(p_tenant, p_queue, _start, 9223372036854775807, p_limit - cardinality(_ids), _visibility, _settings.oldest, _settings.gone) t;
      _ids := _ids || _more.ids; _receives := _receives || _more.receives; _until := _until || _more.until; _over := _over + _more.over;
      if cardinality(_ids) < p_limit then
        select array_agg(t.id) filter (where t.visible_at is not null) as ids, array_agg(t.receives) filter (where t.visible_at is not null) as receives,
          array_agg(t.visible_at) filter (where t.visible_at is not null) as until, count(*) filter (where t.visible_at is null) as over into _more
        from plinth_queue.take_groups(p_tenant, p_queue, (-9223372036854775808)::bigint, _start, p_limit - cardinality(_ids), _visibility, _settings.oldest, _settings.gone) t;
        _ids := _ids || _more.ids; _receives := _receives || _more.receives; _until := _until || _more.until; _over := _over + _more.over;
      end if;
    end if;

    if cardinality(_ids) < p_limit then
      select array_agg(t.id) filter (where t.visible_at is not null) as ids, array_agg(t.receives) filter (where t.visible_at is not null) as receives,
        array_agg(t.visible_at) filter (where t.visible_at is not null) as until, count(*) filter (where t.visible_at is null) as over into _more
      from plinth_queue.take_ready(p_tenant, p_queue, coalesce(_cursor.position, 0), p_limit - cardinality(_ids), _visibility, _settings.oldest, _settings.gone) t;
      _ids := _ids || _more.ids; _receives := _receives || _more.receives; _until := _until || _more.until; _over := _over + _more.over;
    end if;
    exit when cardinality(_ids) > 0 or _over = _before or _over >= 1000;
  end loop;

  if cardinality(_ids) = 0 then
    return;
  end if;
  if _cursor.moved_at is null or _cursor.moved_at < clock_timestamp() - interval '1 second' then
    perform plinth_queue.advance_cursor(p_tenant, p_queue);
  end if;
  -- The bounds prune the days that none of the messages is of.
  select (array_agg(i order by i))[1], (array_agg(i order by i desc))[1] into _least, _most from unnest(_ids) i;
  return query
    select m.id, m.tenant_id, m.queue::text, m.payload, m.headers::jsonb, m.group_key::text, m.id || '.' || t.receives, t.receives, t.until, m.created_at, m.correlation_id, m.causation_id
    from unnest(_ids, _receives, _until) with ordinality as t (id, receives, until, n)
    cross join lateral (select * from plinth_queue.messages m where m.tenant_id = p_tenant and m.id = t.id and m.id >= _least and m.id <= _most limit 1) m
    order by t.n;
end
$$;
comment on function plinth_queue.take(uuid, text, integer, interval) is 'Receives messages of one queue of one tenant: those that are due again, then one of each group, then the rest.';
