-- Definer: a detached partition has no grants. Every value as its text in fixed formats, so that an archive can be compared with it
-- to the last digit; in the order of the primary key, so that the pages need no snapshot between them: a detached partition does not change.
create or replace function plinth_kernel.partition_rows(p_id uuid, p_after text[] default null, p_limit integer default 2000) returns setof text[]
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' set datestyle = 'ISO, YMD' set intervalstyle = 'iso_8601' set extra_float_digits = '1' set bytea_output = 'hex'
as $$
declare
  _row plinth_kernel.retention_partitions;
  _values text;
  _keys text;
  _after text;
begin
  select * into _row from plinth_kernel.retention_partitions as l where l.id = p_id and l.state in ('detached', 'archived', 'verified');
  if not found then
    raise exception 'partition % is not detached', p_id using errcode = 'PL409', detail = '{"code":"kernel_partition_state"}', hint = 'Detach it first.';
  end if;
  select string_agg(format('r.%I::text', c.name), ', ' order by c.place), string_agg(format('r.%I', c.name), ', ' order by c.key_place) filter (where c.key_place is not null),
    string_agg(format('%L::%s', p_after[c.key_place], c.type), ', ' order by c.key_place) filter (where c.key_place is not null)
  into _values, _keys, _after from plinth_kernel.partition_columns(_row.relation) as c;
  return query execute format('select array[%s] from %s as r %s order by %s limit %s', _values, _row.relation::regclass,
    case when p_after is null then '' else format('where (%s) > (%s)', _keys, _after) end,
    _keys, least(greatest(p_limit, 1), 10000));
end
$$;
comment on function plinth_kernel.partition_rows(uuid, text[], integer) is
  'A page of at most p_limit (10,000) rows of a detached partition in primary key order, after the key p_after, each as an array of texts. For plinth_worker, which writes the archive.';
