import pg from 'pg';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf, throughput } from './harness.ts';

const CLIENTS = 8;
const ROWS = 300_000;

/** Two tenants in one table of the product's shape: primary key (tenant_id, id), row security by the kernel's own policy. */
async function setUp(context: BenchContext): Promise<void> {
  const { admin, tenantId, otherTenantId } = context;
  await admin.query(`create schema app;
    create table app.things (tenant_id uuid not null, id uuid not null, name text not null, body jsonb not null, created_at timestamptz not null default now(), primary key (tenant_id, id));
    alter table app.things enable row level security; alter table app.things force row level security;
    create policy tenant on app.things using (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid)) with check (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid));
    grant usage on schema app to plinth_app; grant all on app.things to plinth_app`);
  await admin.query(
    `insert into app.things (tenant_id, id, name, body) select case when g % 2 = 0 then $1::uuid else $2::uuid end, (lpad(to_hex(g), 12, '0') || '70008000000000000000')::uuid, 'thing ' || g, '{"a": 1, "b": "two"}' from generate_series(1, ${context.quick ? ROWS / 10 : ROWS}) g`,
    [tenantId, otherTenantId],
  );
  await admin.query('vacuum analyze app.things');
  await admin.query('alter table app.things owner to plinth_owner');
}

/** The same statement by the role that row security binds, and by one it does not, which says the tenant itself. Both say it: the SDK always does. */
export async function run(context: BenchContext): Promise<Report> {
  await setUp(context);
  const { url, tenantId } = context;
  const bound = new pg.Pool({ connectionString: url, max: CLIENTS });
  const free = new pg.Pool({ connectionString: url, max: CLIENTS });
  // Superuser: row security is not even looked at, which is the most that "the owner with a literal predicate" could reach.
  bound.on('connect', (client) => void client.query(`set role plinth_app; set plinth.tenant_id = '${tenantId}'`));
  const ids = (await context.admin.query<{ id: string }>('select id from app.things where tenant_id = $1 order by random() limit 5000', [tenantId])).rows.map(
    ({ id }) => id,
  );
  let next = 0;
  const id = (): string => ids[next++ % ids.length] ?? '';
  const POINT = { name: 'point', text: 'select id, name, body from app.things where tenant_id = $1 and id = $2' };
  const PAGE = { name: 'page', text: 'select id, name, body from app.things where tenant_id = $1 and id < $2 order by id desc limit 50' };
  const durationMs = context.quick ? 400 : 2_000;
  const read = (pool: pg.Pool, query: typeof POINT) => () => throughput(CLIENTS, durationMs, () => pool.query({ ...query, values: [tenantId, id()] }));
  const results = await interleave(context.rounds, {
    'point read, no row security': read(free, POINT),
    'point read, row security': read(bound, POINT),
    'page of 50, no row security': read(free, PAGE),
    'page of 50, row security': read(bound, PAGE),
  });
  await Promise.all([bound.end(), free.end()]);
  return {
    name: 'kernel',
    title: 'kernel: what row security costs a read',
    settings: [
      `${CLIENTS} clients in one Node process, prepared statements, ${context.quick ? ROWS / 10 : ROWS} rows of two tenants; ${context.rounds} interleaved rounds, medians`,
    ],
    rows: rowsOf(results, 'reads/s'),
    bars: [
      { what: 'point read under row security vs without', value: ratio(results, 'point read, row security', 'point read, no row security'), atLeast: 0.95 },
      { what: 'page of 50 under row security vs without', value: ratio(results, 'page of 50, row security', 'page of 50, no row security'), atLeast: 0.93 },
    ],
  };
}
