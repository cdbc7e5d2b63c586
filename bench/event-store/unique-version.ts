/**
 * The other way to order a stream that plain PostgreSQL offers, to be measured beside the head row: a side table with one row an event and
 * (stream, version) as its key. It cannot be the key of the events themselves, which are partitioned by id.
 */
import type pg from 'pg';

/** `bench.append_unique(row)`: plinth_events.write_one with the side table in the place of the head. An expected version of null is tried until it fits. */
export async function installUniqueVersion(admin: pg.Client): Promise<void> {
  await admin.query(`create schema bench;
    create table bench.versions (tenant_id uuid not null, aggregate_type plinth_events.name not null, aggregate_id plinth_events.name not null, version bigint not null,
      primary key (tenant_id, aggregate_type, aggregate_id, version));
    alter table bench.versions owner to plinth_owner;
    alter table bench.versions enable row level security;
    alter table bench.versions force row level security;
    create policy tenant on bench.versions using (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid));
    grant usage on schema bench to plinth_app;
    grant select, insert on bench.versions to plinth_app;
    create function bench.append_unique(p_row jsonb) returns bigint language plpgsql as $$
    #variable_conflict use_column
    declare
      _tenant_id uuid := plinth_kernel.require_tenant();
      _row record;
      _current bigint;
    begin
      select * into _row from pg_catalog.jsonb_to_record(p_row) as r (id uuid, type text, type_version integer, payload jsonb, aggregate_type text, aggregate_id text,
        expected_version bigint, idempotency_key text, metadata jsonb, correlation_id uuid, causation_id uuid, occurred_at timestamptz);
      loop
        select coalesce(max(v.version), 0) into _current from bench.versions as v
        where v.tenant_id = _tenant_id and v.aggregate_type = _row.aggregate_type and v.aggregate_id = _row.aggregate_id;
        perform plinth_events.next_version(_current, _row.expected_version, _row.aggregate_type, _row.aggregate_id);
        insert into bench.versions (tenant_id, aggregate_type, aggregate_id, version) values (_tenant_id, _row.aggregate_type, _row.aggregate_id, _current + 1)
        on conflict do nothing;
        exit when found;
      end loop;
      insert into plinth_events.events (tenant_id, shard, id, type, type_version, aggregate_type, aggregate_id, version, payload, metadata, idempotency_key,
        actor_type, actor_id, correlation_id, causation_id, occurred_at)
      select c.tenant_id, plinth_kernel.shard_of(c.tenant_id), _row.id, _row.type, _row.type_version, _row.aggregate_type, _row.aggregate_id, _current + 1, _row.payload, _row.metadata,
        _row.idempotency_key, c.actor_type, c.actor_id, coalesce(_row.correlation_id, c.correlation_id), coalesce(_row.causation_id, c.causation_id), _row.occurred_at
      from plinth_kernel.current_context() as c;
      return _current + 1;
    end $$;`);
}
