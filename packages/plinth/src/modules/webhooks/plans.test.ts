/** Deliveries and leases come and go: what claim and settle cost must not depend on when their tables were last analyzed. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { pagesOf } from '#testing/pages.ts';
import { backlog } from './simulation.fixture.ts';

const HOLDER = '018f0000-0000-7000-8000-0000000000d1';
const LANES = 20;
const EACH = 100;
const TAKEN = 40;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_plans');
});
afterAll(() => database.drop());

/** Rows that a statement reads, one by one through an index or in a scan, and its own. */
async function reads(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[]; read: Record<string, number> }> {
  const counted = async (): Promise<Map<string, number>> => {
    const { rows } = await database.admin.query<{ relname: string; n: string }>(
      `select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as n from pg_stat_xact_user_tables
       where schemaname = 'plinth_webhooks' and relname in ('deliveries', 'flights', 'lanes')`,
    );
    return new Map(rows.map((row) => [row.relname, Number(row.n)]));
  };
  await database.admin.query('begin');
  const before = await counted();
  const { rows } = await database.admin.query<Record<string, unknown>>(text, values);
  const after = await counted();
  await database.admin.query('commit');
  return { rows, read: Object.fromEntries([...after].map(([name, n]) => [name, n - (before.get(name) ?? 0)])) };
}

test('analyzed while nothing waits, they read no more than what they take', async () => {
  const ids: string[] = [];
  for (let n = 0; n < LANES; n++) {
    const tenantId = n % 2 === 0 ? database.tenantA : database.tenantB;
    const made = await database.plinth.transaction({ tenantId }, (tx) =>
      tx.query<{ id: string }>(`select subscription_id as id from plinth.subscribe($1, '{#}', 'https://example.com/')`, [`lane ${n}`]),
    );
    ids.push(...made.map(({ id }) => id));
  }
  const fill = async (): Promise<void> => {
    for (const id of ids) await backlog(database.admin, id, EACH);
  };
  const claim = (): ReturnType<typeof reads> => reads(`select * from plinth_webhooks.claim($1, 1000, interval '60 seconds', $2)`, [TAKEN, HOLDER]);
  await fill();
  await claim();
  await database.admin.query('delete from plinth_webhooks.deliveries; delete from plinth_webhooks.flights');
  await database.admin.query('analyze plinth_webhooks.deliveries, plinth_webhooks.flights');
  await fill();
  const claimed = await claim();
  const results = claimed.rows.map((row) => ({ ...row, outcome: 'delivered', url: 'https://example.com/' }));
  const settled = await reads('select * from plinth_webhooks.settle($1)', [JSON.stringify(results)]);
  expect([claimed.rows.length, settled.rows.length]).toEqual([TAKEN, TAKEN]);
  // Of 2,000 that wait.
  expect(claimed.read.deliveries).toBeLessThan(10 * TAKEN);
  expect(settled.read.deliveries).toBeLessThan(5 * TAKEN);
  expect(settled.read.flights).toBeLessThan(5 * TAKEN);
  expect(settled.read.lanes).toBeLessThan(5 * TAKEN);
});

test('a turn of a replay looks at none of what was given up but what it takes', async () => {
  const { plinth, admin, tenantA: tenantId } = database;
  await admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade');
  const [made] = await plinth.transaction({ tenantId }, (tx) =>
    tx.query<{ id: string }>(`select subscription_id as id from plinth.subscribe('dead', '{#}', 'https://example.com/')`),
  );
  const giveUp = (count: number): Promise<unknown> =>
    admin.query(
      `insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_type, body, status, finished_at, due_at)
       select $1, $2, 'order.created', '{}', 'failed', now(), 'infinity' from generate_series(1, $3::int) n`,
      [tenantId, made?.id, count],
    );
  const turn = (): Promise<number> => pagesOf(database, { role: 'plinth_worker' }, 'select plinth_webhooks.work_replays()');
  await giveUp(100);
  await plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.start_replay($1, p_only_failed => true, p_rate_per_second => 10)', [made?.id]));
  const few = await turn();
  await giveUp(20_000);
  await admin.query('analyze plinth_webhooks.deliveries');
  expect((await turn()) - few).toBeLessThan(150);
});
