import pg from 'pg';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf, throughput, timeOf } from './harness.ts';

const CLIENTS = 16;
const EXPLICIT_ROUNDS = 5;

const WIDE = `(id bigint primary key, tenant_id uuid not null, customer text not null, status text not null, total_cents bigint not null, currency text not null,
  note text, email text, items int not null, paid boolean not null, created_at timestamptz not null default now(), updated_at timestamptz not null default now())`;

/** The row trigger that supa_audit made popular: one record a row, old and new as jsonb, dynamic by table; written anew here from its documented behaviour. */
const ROW_TRIGGER = `
create schema peer;
create table peer.record_version (id bigserial primary key, record_id uuid, old_record_id uuid, op text not null, ts timestamptz not null default now(),
  table_oid oid not null, table_schema name not null, table_name name not null, record jsonb, old_record jsonb);
create index on peer.record_version (record_id) where record_id is not null;
create index on peer.record_version (old_record_id) where old_record_id is not null;
create index on peer.record_version using brin (ts);
create index on peer.record_version (table_oid);
create function peer.primary_key_columns(entity_oid oid) returns text[] stable language sql set search_path = '' as $$
  select coalesce(array_agg(a.attname::text order by a.attname), array[]::text[]) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
  where i.indrelid = entity_oid and i.indisprimary $$;
create extension if not exists "uuid-ossp" schema public;
create function peer.to_record_id(entity_oid oid, pkey_cols text[], rec jsonb) returns uuid stable language sql as $$
  select case when rec is null or pkey_cols = array[]::text[] then null
    else (select public.uuid_generate_v5('fd62bc3d-8d6e-43c2-919c-802ba3762271', (jsonb_build_array(to_jsonb(entity_oid)) || jsonb_agg(rec ->> key_))::text) from unnest(pkey_cols) x(key_)) end $$;
create function peer.insert_update_delete_trigger() returns trigger security definer set search_path = '' language plpgsql as $$
declare
  pkey_cols text[] = peer.primary_key_columns(tg_relid);
  record_jsonb jsonb = to_jsonb(new);
  record_id uuid = peer.to_record_id(tg_relid, pkey_cols, record_jsonb);
  old_record_jsonb jsonb = to_jsonb(old);
  old_record_id uuid = peer.to_record_id(tg_relid, pkey_cols, old_record_jsonb);
begin
  insert into peer.record_version (record_id, old_record_id, op, table_oid, table_schema, table_name, record, old_record)
  select record_id, old_record_id, tg_op, tg_relid, tg_table_schema, tg_table_name, record_jsonb, old_record_jsonb;
  return coalesce(new, old);
end $$;`;

async function setUp(context: BenchContext): Promise<void> {
  const { admin } = context;
  await admin.query('create schema app; grant usage on schema app to plinth_app');
  for (const table of ['orders', 'bare', 'captured', 'peer']) await admin.query(`create table app.${table} ${WIDE}; grant all on app.${table} to plinth_app`);
  await admin.query(`select plinth.audit_table('app.captured')`);
  await admin.query(ROW_TRIGGER);
  await admin.query(
    'create trigger audit_i_u_d after insert or update or delete on app.peer for each row execute function peer.insert_update_delete_trigger()',
  );
}

const INSERT = `insert into app.orders (id, tenant_id, customer, status, total_cents, currency, note, email, items, paid) values ($1, $2, 'Ana Lima', 'placed', 4200, 'EUR', 'leave at the door', 'ana@example.com', 3, false)`;

const bulk = (table: string, from: number, rows: number, tenant: string): string =>
  `insert into app.${table} (id, tenant_id, customer, status, total_cents, currency, note, email, items, paid)
   select g, '${tenant}', 'Customer ' || g, 'placed', g * 7, 'EUR', 'leave at the door', 'c' || g || '@example.com', g % 9, false from generate_series(${from}, ${from + rows - 1}) g`;

async function explicitEntries(context: BenchContext): Promise<Record<string, number[]>> {
  const { plinth, tenantId, url } = context;
  const plain = new pg.Pool({ connectionString: url, max: CLIENTS });
  let id = 0;
  // Many short rounds rather than few long ones: what else the machine does then falls on both sides of a ratio.
  const durationMs = context.quick ? 250 : 600;
  const input = { tenantId, actor: { type: 'user' as const, id: 'ana' } };
  const results = await interleave(context.rounds * EXPLICIT_ROUNDS, {
    'bare insert, plinth.transaction': () => throughput(CLIENTS, durationMs, () => plinth.transaction(input, (tx) => tx.query(INSERT, [++id, tenantId]))),
    'insert + audit entry, plinth.transaction': () =>
      throughput(CLIENTS, durationMs, () =>
        plinth.transaction(input, async (tx) => {
          id++;
          tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(id), after: { status: 'placed', total_cents: 4200 } });
          await tx.query(INSERT, [id, tenantId]);
        }),
      ),
    'bare insert, pg: begin, insert, commit': () =>
      throughput(CLIENTS, durationMs, async () => {
        const client = await plain.connect();
        await client.query('begin');
        await client.query(INSERT, [++id, tenantId]);
        await client.query('commit');
        client.release();
      }),
    'bare insert, pg: autocommit': () => throughput(CLIENTS, durationMs, () => plain.query(INSERT, [++id, tenantId])),
  });
  await plain.end();
  return results;
}

async function capture(context: BenchContext): Promise<Record<string, number[]>> {
  const { admin, tenantId } = context;
  const rows = 5000;
  let from = 1;
  const insert = (table: string) => async (): Promise<number> => {
    await admin.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'`);
    const ms = await timeOf(async () => {
      await admin.query(bulk(table, from, rows, tenantId));
      await admin.query('commit');
    });
    from += rows;
    return ms;
  };
  return interleave(context.rounds * 3, {
    'bare, 5,000 rows': insert('bare'),
    'captured, 5,000 rows': insert('captured'),
    'per-row trigger, 5,000 rows': insert('peer'),
  });
}

const PARTITIONS = 36;

/** The log over 36 months against the same rows in one table: look-ups by tenant and id, prepared, as plinth_app. */
async function lookups(context: BenchContext): Promise<Record<string, number[]>> {
  const { admin, tenantId, url } = context;
  const rows = context.quick ? 36_000 : 360_000;
  const id = `(left(plinth_kernel.v7_floor(now() - (g % ${PARTITIONS}) * interval '1 month')::text, 13) || '-7' || lpad(to_hex(g % 4096), 3, '0') || '-8000-' || lpad(to_hex(g), 12, '0'))::uuid`;
  for (const [table, partitioned] of [
    ['many', true],
    ['one', false],
  ] as const) {
    await admin.query(
      `create table app.${table} (tenant_id uuid not null, id uuid not null, action text not null, after jsonb, primary key (tenant_id, id)) ${partitioned ? 'partition by range (id)' : ''}`,
    );
    for (let month = 0; partitioned && month < PARTITIONS; month++)
      await admin.query(`do $$ declare f timestamptz := date_trunc('month', now()) - ${month} * interval '1 month'; begin
        execute format('create table app.many_${month} partition of app.many for values from (%L) to (%L)', plinth_kernel.v7_floor(f), plinth_kernel.v7_floor(f + interval '1 month')); end $$`);
    await admin.query(`insert into app.${table} select '${tenantId}', ${id}, 'order.changed', '{"n": 1}' from generate_series(1, ${rows}) g`);
    await admin.query(`alter table app.${table} enable row level security; alter table app.${table} force row level security; create policy tenant on app.${table} using (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid));
      grant select on app.${table} to plinth_app; analyze app.${table}`);
  }
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on('connect', (client) => void client.query(`set role plinth_app; set plinth.tenant_id = '${tenantId}'; set plan_cache_mode = force_generic_plan`));
  const ids = (await admin.query<{ id: string }>('select id from app.one order by random() limit 5000')).rows.map((row) => row.id);
  let next = 0;
  const read = (table: string) => () =>
    throughput(8, context.quick ? 400 : 2_000, () =>
      pool.query({
        name: `by id in ${table}`,
        text: `select action, after from app.${table} where tenant_id = $1 and id = $2`,
        values: [tenantId, ids[next++ % ids.length]],
      }),
    );
  const results = await interleave(context.rounds, { 'look-up by id, one table': read('one'), [`look-up by id, ${PARTITIONS} partitions`]: read('many') });
  await pool.end();
  return results;
}

export async function run(context: BenchContext): Promise<Report> {
  await setUp(context);
  const explicit = await explicitEntries(context);
  const captured = await capture(context);
  const found = await lookups(context);
  return {
    name: 'audit',
    title: 'audit: what an entry costs',
    settings: [
      `fsync on, synchronous_commit on; ${CLIENTS} clients in one Node process; business table of 12 columns; ${context.rounds * EXPLICIT_ROUNDS} interleaved rounds of the inserts, medians`,
    ],
    rows: [...rowsOf(explicit, 'tx/s'), ...rowsOf(captured, 'ms'), ...rowsOf(found, 'reads/s')],
    bars: [
      {
        what: 'insert + entry vs bare insert',
        value: ratio(explicit, 'insert + audit entry, plinth.transaction', 'bare insert, plinth.transaction'),
        atLeast: 0.8,
      },
      {
        what: 'insert + entry vs bare insert by pg with begin and commit',
        value: ratio(explicit, 'insert + audit entry, plinth.transaction', 'bare insert, pg: begin, insert, commit'),
      },
      {
        what: 'insert + entry vs bare autocommit insert by pg',
        value: ratio(explicit, 'insert + audit entry, plinth.transaction', 'bare insert, pg: autocommit'),
      },
      { what: 'captured bulk insert vs bare (speed)', value: ratio(captured, 'bare, 5,000 rows', 'captured, 5,000 rows'), atLeast: 0.3 },
      { what: 'captured vs per-row trigger (speed)', value: ratio(captured, 'per-row trigger, 5,000 rows', 'captured, 5,000 rows'), atLeast: 2 },
      { what: 'look-up by id over 36 partitions vs one table', value: ratio(found, 'look-up by id, 36 partitions', 'look-up by id, one table'), atLeast: 0.6 },
    ],
  };
}
