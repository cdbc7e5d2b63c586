import { Queue } from 'bullmq';
import pg from 'pg';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf, throughput } from './harness.ts';
import { startRedis } from './peers/redis.ts';

const CLIENTS = 16;

async function setUp(context: BenchContext): Promise<void> {
  await context.admin.query(`create schema app; grant usage on schema app to plinth_app;
    create table app.orders (id bigint primary key, tenant_id uuid not null, customer text not null, status text not null, total_cents bigint not null, created_at timestamptz not null default now());
    grant all on app.orders to plinth_app;
    create schema glue;
    create table glue.audit (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, actor text, action text, entity_type text, entity_id text, after jsonb, created_at timestamptz not null default now());
    create index on glue.audit (tenant_id, entity_type, entity_id); create index on glue.audit (tenant_id, created_at);
    create table glue.outbox (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, type text not null, payload jsonb not null, created_at timestamptz not null default now());
    create index on glue.outbox (tenant_id, created_at);
    create table glue.events (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, type text not null, payload jsonb not null, created_at timestamptz not null default now());`);
}

const INSERT = `insert into app.orders (id, tenant_id, customer, status, total_cents) values ($1, $2, 'Ana Lima', 'placed', 4200)`;

/** What people write without Plinth: an insert each, in autocommit, and a job in Redis. Nothing holds them together. */
function glue(pool: pg.Pool, queue: Queue, tenantId: string) {
  return async (id: number): Promise<void> => {
    const after = JSON.stringify({ status: 'placed', total_cents: 4200 });
    await pool.query(INSERT, [id, tenantId]);
    await pool.query('insert into glue.audit (tenant_id, actor, action, entity_type, entity_id, after) values ($1, $2, $3, $4, $5, $6)', [
      tenantId,
      'ana',
      'order.placed',
      'order',
      String(id),
      after,
    ]);
    await pool.query('insert into glue.events (tenant_id, type, payload) values ($1, $2, $3)', [tenantId, 'order.placed', after]);
    await pool.query('insert into glue.outbox (tenant_id, type, payload) values ($1, $2, $3)', [tenantId, 'order.placed', after]);
    await queue.add('order.fulfil', { id });
  };
}

export async function run(context: BenchContext): Promise<Report> {
  await setUp(context);
  const { plinth, tenantId, url } = context;
  const redis = await startRedis();
  const pool = new pg.Pool({ connectionString: url, max: CLIENTS });
  const queue = new Queue('orders', { connection: { host: '127.0.0.1', port: redis.port } });
  await queue.waitUntilReady();
  const piecemeal = glue(pool, queue, tenantId);
  const input = { tenantId, actor: { type: 'user' as const, id: 'ana' } };
  const durationMs = context.quick ? 500 : 3_000;
  let id = 0;
  const bundle = async (): Promise<void> => {
    const order = ++id;
    await plinth.transaction(input, async (tx) => {
      const after = { status: 'placed', total_cents: 4200 };
      tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(order), after });
      tx.events.publish('order.placed', after);
      tx.jobs.enqueue('order.fulfil', { id: order });
      await tx.query(INSERT, [order, tenantId]);
    });
  };
  try {
    const results = await interleave(context.rounds, {
      'business row, plinth.transaction': () => throughput(CLIENTS, durationMs, () => plinth.transaction(input, (tx) => tx.query(INSERT, [++id, tenantId]))),
      'row + audit + event + job, plinth.transaction': () => throughput(CLIENTS, durationMs, bundle),
      'business row, pg: begin, insert, commit': () =>
        throughput(CLIENTS, durationMs, async () => {
          const client = await pool.connect();
          await client.query('begin');
          await client.query(INSERT, [++id, tenantId]);
          await client.query('commit');
          client.release();
        }),
      'business row, pg: autocommit': () => throughput(CLIENTS, durationMs, () => pool.query(INSERT, [++id, tenantId])),
      'glue: 4 autocommit inserts + BullMQ add': () => throughput(CLIENTS, durationMs, () => piecemeal(++id)),
    });
    const ours = 'row + audit + event + job, plinth.transaction';
    return {
      name: 'bundle',
      title: 'bundle: business row, audit entry, event and job in one transaction',
      settings: [
        `fsync on, synchronous_commit on; Redis appendonly everysec; ${CLIENTS} clients in one Node process; ${context.rounds} interleaved rounds, medians`,
      ],
      rows: rowsOf(results, 'bundles/s'),
      bars: [
        { what: 'bundle vs the business row alone', value: ratio(results, ours, 'business row, plinth.transaction'), atLeast: 0.55 },
        { what: 'bundle vs the business row by pg with begin and commit', value: ratio(results, ours, 'business row, pg: begin, insert, commit') },
        { what: 'bundle vs the business row by pg in autocommit', value: ratio(results, ours, 'business row, pg: autocommit') },
        { what: 'bundle vs the glue, which is not atomic', value: ratio(results, ours, 'glue: 4 autocommit inserts + BullMQ add'), atLeast: 2.5 },
      ],
      notes: ['The autocommit row has no transaction and no tenant: one message and one answer. It is shown because it is the least that any insert costs.'],
    };
  } finally {
    await queue.close();
    await redis.stop();
    await pool.end();
  }
}
