/** plinth.events as seed 000 reads it: what is pending, failed and completed, of the own tenant, and what asking costs. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';

let database: TestDatabase;
let a: string;
let b: string;
let bad = true;
const NAME = 'test.status';
const consumer: Consumer = {
  summary: 'fails on what is bad',
  from: 'beginning',
  onPoison: 'park',
  attempts: 3,
  handle: async (_tx, events) => {
    if (bad && events.some((event) => event.type.startsWith('bad.'))) throw new Error('cannot');
  },
};

beforeAll(async () => {
  database = await testDatabase('events_status');
  a = database.tenantA;
  const { rows } = await database.admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (id, slug, name) select o.id, 'shard-mate', 'Shard mate' from (select plinth_kernel.uuid_v7() as id from generate_series(1, 500)) as o
     where plinth_kernel.shard_of(o.id) = plinth_kernel.shard_of($1) limit 1 returning id`,
    [a],
  );
  b = rows[0]?.id ?? '';
  // Consumers of the cards would keep events pending: nobody runs them here.
  await database.admin.query('delete from plinth_kernel.feed_cursors');
});
afterAll(() => database.drop());

const publish = (tenantId: string, type: string) => database.plinth.transaction({ tenantId }, async (tx) => tx.events.publish(type, {}));
const turn = () => consumeOnce(database.plinth, NAME, consumer).catch(() => -1);
/** Transactions of other files on this server keep the feed from what began after them, and so it stays pending. */
const settled = async (): Promise<boolean> =>
  (await database.admin.query<{ yes: boolean }>('select pg_snapshot_xmin(pg_current_snapshot()) > max(xact) as yes from plinth_events.events')).rows[0]?.yes ===
  true;
const read = async (): Promise<void> => {
  while (!(await settled()));
  for (let quiet = 0; quiet < 2; ) quiet = (await turn()) === 0 ? quiet + 1 : 0;
};
const statuses = async (tenantId: string) =>
  database.plinth.transaction({ tenantId }, (tx) =>
    tx.query<{ type: string; status: string; retry_count: number; next: boolean }>(
      'select event_type as type, status, retry_count, next_retry_at is not null as next from plinth.events order by created_at, id',
    ),
  );
/** Seed 000, word for word but for the schema. */
const POLL = `SELECT * FROM plinth.events
WHERE status = 'pending'
  AND (next_retry_at IS NULL OR next_retry_at <= NOW())
ORDER BY created_at ASC
LIMIT 100;`;
const ALERT = `SELECT COUNT(*) FROM plinth.events WHERE status = 'pending';`;
const FAILED = `SELECT * FROM plinth.events WHERE status = 'failed' AND next_retry_at <= NOW()`;

test('an event is failed as long as a consumer that failed on it has not handled it, and tenants see no failures but their own', async () => {
  await turn();
  await publish(a, 'good.done');
  await read();
  await publish(a, 'bad.one');
  await publish(a, 'good.behind');
  await publish(b, 'good.other');
  await read();
  await publish(a, 'good.unread');
  const pending = { status: 'pending', retry_count: 0, next: false };
  const completed = { status: 'completed', retry_count: 0, next: false };
  expect(await statuses(a)).toEqual([
    { type: 'good.done', ...completed },
    { type: 'bad.one', status: 'failed', retry_count: 2, next: true },
    { type: 'good.behind', ...pending },
    { type: 'good.unread', ...pending },
  ]);
  expect(await statuses(b)).toEqual([{ type: 'good.other', ...completed }]);
  const asTenant = <T>(text: string) => database.plinth.transaction({ tenantId: a }, (tx) => tx.query<T & Record<string, unknown>>(text));
  expect((await asTenant<{ event_type: string }>(POLL)).map((row) => row.event_type)).toEqual(['good.behind', 'good.unread']);
  expect(await asTenant(ALERT)).toEqual([{ count: '2' }]);

  // Tried until it is parked: failed, and nobody tries it by itself.
  await database.admin.query('update plinth_events.parked set retry_at = null');
  expect(await asTenant(FAILED)).toHaveLength(1);
  expect(await consumeParked(database.plinth, NAME, consumer)).toBe(1);
  await read();
  expect(await statuses(a)).toMatchObject([
    { status: 'completed' },
    { status: 'failed', retry_count: 3, next: false },
    { status: 'completed' },
    { status: 'completed' },
  ]);
  const [parked] = await database.plinth.asWorker({}, (tx) => tx.query<{ id: string }>('select id from plinth.parked_events where ended_at is null'));
  bad = false;
  await database.plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.retry_parked_events(p_id := $1)', [parked?.id]));
  expect((await statuses(a))[1]).toMatchObject({ status: 'failed', next: true });
  expect(await consumeParked(database.plinth, NAME, consumer)).toBe(1);
  expect((await statuses(a)).map((row) => row.status)).toEqual(['completed', 'completed', 'completed', 'completed']);

  // Given up: nothing is left to do.
  bad = true;
  await publish(a, 'bad.two');
  await read();
  await database.plinth.asWorker({}, (tx) => tx.query(`select plinth.discard_parked_event(id, 'a test') from plinth.parked_events where ended_at is null`));
  expect((await statuses(a)).at(-1)).toEqual({ type: 'bad.two', ...completed });
});

test('what the seed asks costs what is pending or failed, however much is completed or aside in other tenants', { timeout: 60_000 }, async () => {
  const { admin, plinth } = database;
  bad = true;
  await admin.query(
    `insert into plinth_events.events (tenant_id, shard, type, payload) select $1, plinth_kernel.shard_of($1), 'good.bulk', '{}' from generate_series(1, 20000)`,
    [a],
  );
  await publish(b, 'bad.other');
  await read();
  await admin.query(
    `insert into plinth_events.parked (tenant_id, consumer, shard, position, event_id, event_type, attempts, status)
     select $1, 'test.elsewhere', 0, n, plinth_kernel.uuid_v7(), 'x.y', 0, 'waiting' from generate_series(1, 20000) as n`,
    [b],
  );
  await admin.query('analyze plinth_events.events, plinth_events.parked');
  await publish(a, 'good.needle');
  for (const text of [POLL, ALERT, FAILED]) {
    const plan = await plinth.transaction({ tenantId: a }, async (tx) =>
      (await tx.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off, summary off) ${text}`)).map((row) => row['QUERY PLAN']).join('\n'),
    );
    expect(plan, plan).not.toMatch(/Seq Scan on .*actual rows=[1-9]/);
    expect(plan, plan).not.toMatch(/(Rows Removed by \w+ ?\w*: |actual rows=)\d{4,}/);
  }
  const [one] = await plinth.transaction({ tenantId: a }, (tx) => tx.query<{ id: string }>(`select id from plinth.events where event_type = 'good.needle'`));
  const plan = await plinth.transaction({ tenantId: a }, async (tx) =>
    (await tx.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off, summary off) select * from plinth.events where id = '${one?.id}'`))
      .map((row) => row['QUERY PLAN'])
      .join('\n'),
  );
  expect(plan, plan).not.toMatch(/(Rows Removed by \w+ ?\w*: |actual rows=)\d{4,}/);
});
