import { afterAll, beforeAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';

const database = await testDatabase('audit plan');
const { admin, tenantA, tenantB } = database;
afterAll(() => database.drop());

beforeAll(async () => {
  // Rows in this month and the next, two tenants, so that an index is worth more than a scan.
  await admin.query(
    `insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, actor_type, actor_id, correlation_id)
     select case when g % 2 = 0 then $1::uuid else $2::uuid end,
       (left(plinth_kernel.v7_floor(now() + (g % 2) * interval '1 month' + g * interval '1 second')::text, 13) || '-7' || lpad(to_hex(g % 4096), 3, '0') || '-8000-' || lpad(to_hex(g), 12, '0'))::uuid,
       'order.changed', 'order', (g % 1000)::text, 'user', 'ana', gen_random_uuid()
     from generate_series(1, 20000) g`,
    [tenantA, tenantB],
  );
  await admin.query('analyze plinth_audit.entries');
  const { rows } = await admin.query<{ name: string }>('select distinct tableoid::regclass::text as name from plinth_audit.entries');
  never = new RegExp(`Seq Scan on (${rows.map(({ name }) => name.split('.')[1]).join('|')})`);
});

async function plan(text: string): Promise<string> {
  const client = await admin.connect();
  try {
    await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantA}'`);
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain (costs off, analyze, timing off, summary off, buffers off) ${text}`);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    await client.query('rollback');
    client.release();
  }
}

/** An empty partition is read as it is; one with rows never is. */
let never: RegExp;

test('a look-up by id reads one partition by its primary key', async () => {
  const { rows } = await admin.query<{ id: string }>('select id from plinth_audit.entries where tenant_id = $1 order by id limit 1', [tenantA]);
  const text = await plan(`select * from plinth.audit_logs where tenant_id = '${tenantA}' and id = '${rows[0]?.id}'`);
  expect(text).toMatch(/Index (Only )?Scan using entries_\d{4}_\d{2}_pkey/);
  expect(text.match(/Scan .* on entries_\d/g)).toHaveLength(1);
});

test('a page of 50 walks the primary key, newest first, and stops', async () => {
  const text = await plan(`select id, action from plinth.audit_logs where tenant_id = '${tenantA}' order by id desc limit 50`);
  expect(text).toMatch(/Limit/);
  expect(text).not.toMatch(/Sort Key/);
  expect(text).not.toMatch(never);
});

test('a time range prunes the partitions outside it', async () => {
  const text = await plan(
    `select count(*) from plinth.audit_logs where tenant_id = '${tenantA}' and id >= plinth_kernel.v7_floor(now() - interval '1 day') and id < plinth_kernel.v7_floor(now() + interval '1 hour')`,
  );
  const read = [...text.matchAll(/on (entries_\d{4}_\d{2})/g)].map((match) => match[1]);
  expect(new Set(read).size).toBeLessThanOrEqual(2);
  expect(text).toMatch(/Subplans Removed|Index/);
});

test.each([
  ['the history of an entity', `select action from plinth.audit_history('order', '42', 50)`, /entries_\d{4}_\d{2}_tenant_id_entity_type_entity_id_id_idx/],
  [
    'a correlation id',
    `select action from plinth.audit_logs where tenant_id = plinth_kernel.tenant_id() and correlation_id = '018f0000-0000-7000-8000-000000000000'`,
    /correlation_id_idx/,
  ],
])('%s uses its index', async (_, query, index) => {
  const text = await plan(query);
  if (!text.includes('Function Scan')) expect(text).toMatch(index);
  expect(text).not.toMatch(never);
});

test('an entry without a correlation is in no index of them, and one with is found by it', async () => {
  const { rows } = await admin.query<{ predicate: string }>(
    `select pg_get_expr(indpred, indrelid) as predicate from pg_index where indexrelid = 'plinth_audit.entries_by_correlation'::regclass`,
  );
  expect(rows[0]?.predicate).toBe('(correlation_id IS NOT NULL)');
  expect(await plan(`select * from plinth.trace('${crypto.randomUUID()}')`)).not.toMatch(never);
  expect(await plan(`select * from plinth_audit.entries where correlation_id = '${crypto.randomUUID()}'`)).toMatch(
    /entries_\d{4}_\d{2}_tenant_id_correlation_id_idx/,
  );
});
