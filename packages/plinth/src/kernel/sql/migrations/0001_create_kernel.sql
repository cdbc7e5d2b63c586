-- why: tenants, the record of what was installed, and the functions that tables bind to (defaults, policies, bounds)
-- locks: none, everything is new
-- breaking: no

-- Context readers. `current_setting(..., true)` is '' after a SET LOCAL of an earlier transaction has ended, hence nullif.
create function plinth_kernel.tenant_id() returns uuid
language sql stable parallel safe
return nullif(current_setting('plinth.tenant_id', true), '')::uuid;
comment on function plinth_kernel.tenant_id() is 'Tenant of the current transaction, or null.';

create function plinth_kernel.setting(p_name text) returns text
language sql stable parallel safe
return nullif(current_setting('plinth.' || p_name, true), '');
comment on function plinth_kernel.setting(text) is 'One text of the transaction context (actor_id, actor_type, roles, request_id, reason, ip, user_agent), or null.';

create function plinth_kernel.correlation_id() returns uuid
language sql stable parallel safe
return nullif(current_setting('plinth.correlation_id', true), '')::uuid;
comment on function plinth_kernel.correlation_id() is 'Correlation id of the current transaction, or null.';

create function plinth_kernel.causation_id() returns uuid
language sql stable parallel safe
return nullif(current_setting('plinth.causation_id', true), '')::uuid;
comment on function plinth_kernel.causation_id() is 'Id of the record that caused the current work, or null.';

create function plinth_kernel.v7_floor(p_at timestamptz) returns uuid
language sql immutable strict parallel safe
return (lpad(to_hex(greatest(0, floor(extract(epoch from p_at) * 1000))::bigint), 12, '0') || repeat('0', 20))::uuid;
comment on function plinth_kernel.v7_floor(timestamptz) is 'Smallest uuid v7 of a moment: turns a time filter into id bounds, which prune partitions.';

create function plinth_kernel.v7_time(p_id uuid) returns timestamptz
language sql immutable strict parallel safe
return to_timestamp(('x0000' || left(replace(p_id::text, '-', ''), 12))::bit(64)::bigint / 1000.0);
comment on function plinth_kernel.v7_time(uuid) is 'Moment at which a uuid v7 was made.';

do $$
begin
  if current_setting('server_version_num')::int >= 180000 then
    create function plinth_kernel.uuid_v7() returns uuid language sql volatile parallel safe return uuidv7();
  else
    -- RFC 9562, 5.7, method 3: 48 bits of ms, then 12 bits of the fraction of the ms, so that ids of one backend keep their order.
    create function plinth_kernel.uuid_v7() returns uuid language sql volatile parallel safe
    return (
      select (lpad(to_hex((t.us / 1000)), 12, '0') || '7' || lpad(to_hex((t.us % 1000) * 4096 / 1000), 3, '0')
        || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
      from (select floor(extract(epoch from clock_timestamp()) * 1000000)::bigint as us) as t);
  end if;
end
$$;
comment on function plinth_kernel.uuid_v7() is 'A new uuid v7: time-ordered, made from the database clock.';

create table plinth_kernel.tenants (
  id uuid primary key default plinth_kernel.uuid_v7(),
  slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  name text not null check (length(name) between 1 and 200),
  status text not null default 'active' check (status in ('active', 'suspended', 'closed')),
  attributes jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table plinth_kernel.tenants is 'The customers of the application: every other row belongs to one of them.';

create table plinth_kernel.repeatables (
  module text primary key,
  checksum text not null,
  applied_at timestamptz not null default now()
);
comment on table plinth_kernel.repeatables is 'For each module the checksum of its functions, views and derived objects that are installed; for each schema ("tables of plinth_jobs") that of the row security of its tables.';

create table plinth_kernel.exposure (
  only_row boolean primary key default true check (only_row),
  except_names text[] not null
);
comment on table plinth_kernel.exposure is 'Has a row when schema public shows functions and views of schema plinth, with the names that were left out.';
