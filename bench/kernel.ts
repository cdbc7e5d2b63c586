import pg from 'pg';
import { tablePolicies } from '../packages/plinth/src/kernel/migrate/derive.ts';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf, throughput } from './harness.ts';

const CLIENTS = 8;
const ROWS = 300_000;

/** Two tenants in one table of the product's shape: primary key (tenant_id, id), row security and grants as the kernel writes them for its modules. */
async function setUp(context: BenchContext): Promise<void> {
  const { admin, tenantId, otherTenantId } = context;
  await admin.query(`create schema app;
    create table app.things (tenant_id uuid not null, id uuid not null, name text not null, body jsonb not null, created_at timestamptz not null default now(), primary key (tenant_id, id));
    grant usage on schema app to plinth_app, plinth_owner; grant all on app.things to plinth_app`);
  for (const statement of tablePolicies('app', 'things', { tenancy: 'tenant', keep: 'forever' })) await admin.query(statement);
  await admin.query(
    `insert into app.things (tenant_id, id, name, body) select case when g % 2 = 0 then $1::uuid else $2::uuid end, (lpad(to_hex(g), 12, '0') || '70008000000000000000')::uuid, 'thing ' || g, '{"a": 1, "b": "two"}' from generate_series(1, ${context.quick ? ROWS / 10 : ROWS}) g`,
    [tenantId, otherTenantId],
  );
  await admin.query('vacuum analyze app.things');
  await admin.query('alter table app.things owner to plinth_owner');
}

const LITERAL = {
  point: 'select id, name, body from app.things where tenant_id = $2 and id = $1',
  page: 'select id, name, body from app.things where tenant_id = $2 and id < $1 order by id desc limit 50',
};
/** The tenant is what row security adds. */
const SECURED = {
  point: 'select id, name, body from app.things where id = $1',
  page: 'select id, name, body from app.things where id < $1 order by id desc limit 50',
};

/**
 * What `plinth_app` reads of its tenant, which row security sees to, beside the owner of the table, whom its policy lets pass and who therefore
 * says the tenant in the statement. Shown as well: both at once, which is what lists of the SDK send, and a superuser, whom rights and row security
 * are not even asked about.
 */
export async function run(context: BenchContext): Promise<Report> {
  await setUp(context);
  const { url, tenantId } = context;
  const pools = { app: 'set role plinth_app', owner: 'set role plinth_owner', superuser: 'reset role' };
  const open = Object.entries(pools).map(([name, role]) => {
    const onConnect = async (client: pg.ClientBase): Promise<void> => void (await client.query(`${role}; set plinth.tenant_id = '${tenantId}'`));
    return [name, new pg.Pool({ connectionString: url, max: CLIENTS, onConnect })] as const;
  });
  const { app, owner, superuser } = Object.fromEntries(open) as Record<keyof typeof pools, pg.Pool>;
  const ids = (await context.admin.query<{ id: string }>('select id from app.things where tenant_id = $1 order by random() limit 5000', [tenantId])).rows.map(
    ({ id }) => id,
  );
  let next = 0;
  const durationMs = context.quick ? 200 : 400;
  const read = (pool: pg.Pool, name: string, text: string, withTenant: boolean) => () =>
    throughput(CLIENTS, durationMs, () => {
      const id = ids[next++ % ids.length];
      return pool.query({ name, text, values: withTenant ? [id, tenantId] : [id] });
    });
  const variants = (kind: keyof typeof LITERAL, name: string) => ({
    [`${name}, owner with a literal predicate`]: read(owner, kind, LITERAL[kind], true),
    [`${name}, row security`]: read(app, `${kind} secured`, SECURED[kind], false),
    [`${name}, row security and a literal predicate`]: read(app, kind, LITERAL[kind], true),
    [`${name}, superuser with a literal predicate`]: read(superuser, kind, LITERAL[kind], true),
  });
  // Many short rounds rather than few long ones: what else the machine does then falls on both sides of a ratio.
  const rounds = context.rounds * 4;
  const results = await interleave(rounds, { ...variants('point', 'point read'), ...variants('page', 'page of 50') });
  await Promise.all(open.map(([, pool]) => pool.end()));
  const bars = (name: string, atLeast: number) => {
    const against = (ours: string, theirs: string, limit?: number) => ({
      what: `${name}: ${ours} vs ${theirs}`,
      value: ratio(results, `${name}, ${ours}`, `${name}, ${theirs}`),
      ...(limit === undefined ? {} : { atLeast: limit }),
    });
    return [
      against('row security', 'owner with a literal predicate', atLeast),
      against('row security and a literal predicate', 'owner with a literal predicate'),
      against('row security', 'superuser with a literal predicate'),
    ];
  };
  return {
    name: 'kernel',
    title: 'kernel: what row security costs a read',
    settings: [
      `${CLIENTS} clients in one Node process, prepared statements, ${context.quick ? ROWS / 10 : ROWS} rows of two tenants; ${rounds} interleaved rounds, medians`,
    ],
    rows: rowsOf(results, 'reads/s'),
    bars: [...bars('point read', 0.95), ...bars('page of 50', 0.93)],
  };
}
