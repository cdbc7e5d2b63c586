/** What one tenant stores can neither stop the fan-out of the others nor hold it for long. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { fanOut } from './consumer.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_isolation');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query(
    'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.flights, plinth_webhooks.held_back, plinth_webhooks.tenant_limits, plinth_webhooks.tenant_buckets cascade',
  ),
);

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
async function subscribe(tenantId: string, name: string, more = ''): Promise<string> {
  const [made] = await as<{ id: string }>(
    tenantId,
    `select subscription_id as id from plinth.subscribe($1, '{order.#}'${more.includes('p_mode') ? '' : `, 'https://example.com/'`}${more && `, ${more}`})`,
    [name],
  );
  return made?.id ?? '';
}
const store = (id: string, what: string) => database.admin.query(`update plinth_webhooks.subscriptions set ${what} where id = $1`, [id]);
const happen = (tenantId: string, payloads: unknown[], type = 'order.created') =>
  database.plinth.transaction({ tenantId }, async (tx) => {
    for (const payload of payloads) await tx.query('select plinth.publish_event($1, $2)', [type, JSON.stringify(payload)]);
  });
async function readFeed(): Promise<void> {
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
}
interface Waiting {
  name: string;
  status: string;
  key: string | null;
  body: { data: unknown; transform_error?: string };
  last_error: string | null;
}
const waiting = async (): Promise<Waiting[]> =>
  (
    await database.admin.query<Waiting>(
      'select s.name, d.status, d.lane_key as key, d.body::jsonb as body, d.last_error from plinth_webhooks.deliveries d join plinth_webhooks.subscriptions s on s.id = d.subscription_id order by d.seq',
    )
  ).rows;

test.each(['$customer.id', '$.data.a.timestamp_tz()', '$.**.**.**.**.**.** ? (@ == "zz")', '$.a[*].b', '$.a.size()', '$', 'a', `$.${'a'.repeat(500)}`])(
  'an order key is a plain path: %s is refused',
  async (key) => {
    const id = await subscribe(a, 'one');
    expect(await errorCode(as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => $2)`, [id, key]))).toBe(
      'webhooks_policy_invalid',
    );
  },
);

test.each([
  ['$.customer.id', 'c1'],
  ['$."a b"[1]."x.y"', '2'],
  ['$.lines[0].sku', 's'],
  ['$.missing', ''],
])('an order key %s gives %s', async (path, key) => {
  const id = await subscribe(a, 'one');
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => $2)`, [id, path]);
  await happen(a, [{ customer: { id: 'c1' }, 'a b': [1, { 'x.y': 2 }], lines: [{ sku: 's' }] }]);
  await readFeed();
  expect(await waiting()).toMatchObject([{ key }]);
});

test.each(['timestamp_tz', 'time_tz', 'datetime', 'date', 'time', 'timestamp', 'decimal', 'keyvalue'])('a filter with %s() is refused', async (method) => {
  expect(await errorCode(subscribe(a, 'one', `p_filter => '"$.data.a.${method}() == 1"'`))).toBe('webhooks_filter_invalid');
});

test('what raises is found: the events of others and of other subscriptions go out, and the tenant reads what it was', async () => {
  await subscribe(b, 'neighbour');
  await subscribe(a, 'well');
  // Kept from a time when these could be stored.
  await store(await subscribe(a, 'bad filter', `p_filter => '"$.data.n > 0"'`), `filter_path = '$customer.id == 1'`);
  await store(await subscribe(a, 'bad transform', `p_transform => '{}'`), `transform = '{"omit": 1}'`);
  await store(await subscribe(a, 'bad key'), `ordering = 'fifo_by_key', order_key = '$customer.id'`);
  await store(await subscribe(a, 'bad cloud event', `p_transform => '{}', p_format => 'cloudevents-structured'`), `transform = '{"omit": 1}'`);
  await happen(b, [{ n: 1 }]);
  await happen(a, [{ n: 2 }, { n: 3 }]);
  await happen(b, [{ n: 4 }]);
  await readFeed();
  const rows = await waiting();
  const of = (name: string) => rows.filter((row) => row.name === name);
  expect(of('neighbour').map((row) => row.body.data)).toEqual([{ n: 1 }, { n: 4 }]);
  expect(of('well').map((row) => row.body.data)).toEqual([{ n: 2 }, { n: 3 }]);
  expect(of('bad key').map((row) => [row.key, row.body.data])).toEqual([
    ['', { n: 2 }],
    ['', { n: 3 }],
  ]);
  for (const row of of('bad transform'))
    expect(row).toMatchObject({ status: 'pending', body: { type: 'order.created', data: { stream: null }, transform_error: 'failed' } });
  expect(of('bad transform')).toHaveLength(2);
  for (const row of of('bad cloud event')) expect(row).toMatchObject({ status: 'pending', body: { specversion: '1.0', data: { stream: null } } });
  expect(of('bad cloud event')).toHaveLength(2);
  expect(of('bad filter').map((row) => [row.status, row.last_error])).toEqual(
    [1, 2].map(() => ['failed', 'The filter could not be judged: could not find jsonpath variable "customer"']),
  );
  const { rows: cursors } = await database.admin.query(`select from plinth_kernel.feed_cursors where consumer = 'webhooks.fan-out' and failures > 0`);
  expect(cursors).toEqual([]);
});

test.each([
  ['text', { body: { t: '{{ data.x }}'.repeat(50) } }, 'too_large'],
  ['values', { body: Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`k${n}`, '{{ data }}'])) }, 'too_large'],
  ['what is set', { set: Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`data.k${n}`, '{{ data }}'])) }, 'too_large'],
  ['elements', { omit: ['data.a.*.k.*.x'], redact: ['data.a.*.k.*.y'] }, 'too_much'],
])('%s beyond bounds are not built: the body is thin and says so', async (_what, transform, why) => {
  await subscribe(a, 'one', `p_transform => '${JSON.stringify(transform)}'`);
  await happen(a, [{ x: 'x'.repeat(600_000), a: Array.from({ length: 3000 }, () => ({ k: [{ y: 1 }] })) }]);
  await readFeed();
  expect(await waiting()).toMatchObject([{ status: 'pending', body: { type: 'order.created', transform_error: why } }]);
});

test('the transforms of a tenant have a share of the batch, beyond which bodies are thin; those of others are made', async () => {
  const paths = Array.from({ length: 100 }, (_, n) => `data.n${n}`);
  for (let n = 0; n < 20; n++) await subscribe(a, `greedy ${n}`, `p_transform => '${JSON.stringify({ omit: paths })}'`);
  await subscribe(b, 'modest', `p_transform => '{"omit": ["data.n1"]}'`);
  await happen(a, [{ x: 'x'.repeat(900_000) }]);
  await happen(b, [{ n1: 1, n2: 2 }]);
  await readFeed();
  const rows = await waiting();
  const greedy = rows.filter((row) => row.name !== 'modest').map((row) => row.body.transform_error);
  expect(new Set(greedy)).toEqual(new Set([undefined, 'too_much']));
  expect(greedy).toHaveLength(20);
  expect(rows.find((row) => row.name === 'modest')?.body.data).toEqual({ n2: 2 });
});

test('the smallest rate that a tenant may set holds up nobody else', async () => {
  const slow = await subscribe(a, 'slow');
  await as(a, 'select plinth.set_delivery_policy($1, p_rate_per_second => 0.001)', [slow]);
  await as(a, 'select plinth.set_delivery_limits(0.001)');
  await subscribe(b, 'neighbour');
  const claimed = async () =>
    (await database.admin.query<{ tenant_id: string }>('select tenant_id from plinth_webhooks.claim(100)')).rows.map((row) => row.tenant_id);
  await happen(a, [{ n: 1 }, { n: 2 }]);
  await readFeed();
  expect(await claimed()).toEqual([a]);
  // Next to nothing has come in since: what is worked out of it must not raise.
  await happen(b, [{ n: 1 }]);
  await readFeed();
  expect(await claimed()).toEqual([b]);
});

const claimedOf = async (call: string): Promise<string[]> => {
  const text = `select s.name from ${call} c join plinth_webhooks.subscriptions s on s.tenant_id = c.tenant_id and s.id = c.subscription_id order by 1`;
  return (await database.plinth.asWorker({}, (tx) => tx.query<{ name: string }>(text))).map((row) => row.name);
};

test('a claim looks at no more subscriptions of a tenant than so many, and the next goes on behind them: all are served, and others at once', async () => {
  for (let n = 1; n <= 6; n++) await subscribe(a, `a${n}`);
  await subscribe(b, 'neighbour');
  await happen(a, [{ n: 1 }]);
  await happen(b, [{ n: 1 }]);
  await readFeed();
  const claim = () => claimedOf('plinth_webhooks.claim(100, p_lanes => 3)');
  expect([await claim(), await claim(), await claim()]).toEqual([['a1', 'a2', 'a3', 'neighbour'], ['a4', 'a5'], ['a6']]);
  const turns = async () => (await database.admin.query('select from plinth_webhooks.claim_turns')).rowCount;
  expect(await turns()).toBe(0);
  // What waits again is found from the beginning.
  await database.admin.query('truncate plinth_webhooks.flights');
  expect(await claim()).toEqual(['a1', 'a2', 'a3', 'neighbour']);
  expect(await turns()).toBe(1);
  await as(a, `select plinth.unsubscribe(id) from plinth.event_subscriptions where name > 'a2'`);
  await claim();
  expect(await turns()).toBe(0);
});

test('an ordered lane with many keys, somebody held one of them: a claim looks at what was held and not at all of them', async () => {
  const id = await subscribe(a, 'keys');
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => '$.k')`, [id]);
  await happen(
    a,
    Array.from({ length: 200 }, (_, k) => ({ k })),
  );
  await readFeed();
  const due = async () =>
    (await database.admin.query<{ key: string }>(`select lane_key as key from plinth_webhooks.deliveries where due_at < 'infinity'`)).rows;
  const hold = (keys: string) =>
    database.admin.query(`insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select $1, $2, k::text from ${keys} k`, [a, id]);
  await database.admin.query(`update plinth_webhooks.deliveries set due_at = 'infinity'`);
  await hold('generate_series(7, 7)');
  expect(await claimedOf('plinth_webhooks.claim(100)')).toEqual(['keys']);
  expect(await due()).toEqual([{ key: '7' }]);
  // However many were held, a claim looks at some; the rest is for the next.
  await hold('generate_series(0, 199)');
  for (const [nth, looked] of [60, 120, 180, 200].entries()) {
    await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.release_held_back(60)'));
    expect((await due()).length, `after ${nth + 1}`).toBeGreaterThanOrEqual(looked);
    expect((await due()).length, `after ${nth + 1}`).toBeLessThanOrEqual(looked + 1);
  }
  expect((await database.admin.query('select from plinth_webhooks.held_back where lane_key is not null')).rowCount).toBe(0);
});

test('a tenant with many pulled subscriptions that are never empty keeps no messages from the others', async () => {
  for (let n = 0; n < 3; n++) await subscribe(a, `a${n}`, `p_mode => 'pull'`);
  await subscribe(b, 'neighbour', `p_mode => 'pull'`);
  for (const tenantId of [a, b])
    await happen(
      tenantId,
      [1, 2, 3].map((n) => ({ n })),
    );
  await readFeed();
  for (let round = 0; round < 3; round++) {
    const appended = await database.plinth.asWorker({}, (tx) => tx.query<{ tenant_id: string }>('select tenant_id from plinth_webhooks.append_pulled(1, 2)'));
    expect(appended.map((row) => row.tenant_id).toSorted()).toEqual([a, b].toSorted());
  }
});

test('bodies that are claimed together are bounded by their size, those of one tenant more closely, with what its dispatcher has under way', async () => {
  await subscribe(a, 'large');
  await subscribe(b, 'small');
  await happen(
    a,
    [1, 2, 3, 4, 5].map((n) => ({ n, x: 'x'.repeat(10_000) })),
  );
  await happen(
    b,
    [1, 2].map((n) => ({ n })),
  );
  await readFeed();
  const holder = database.plinth.newId();
  const claim = (bytes: number, ofTenant: number) =>
    claimedOf(`plinth_webhooks.claim(100, p_holder => '${holder}', p_bytes => ${bytes}, p_bytes_per_tenant => ${ofTenant})`);
  // Nothing behind the limit: the one that reaches it is the last.
  expect(await claim(1_000_000, 15_000)).toEqual(['large', 'large', 'small', 'small']);
  expect(await claim(1_000_000, 15_000)).toEqual([]);
  expect(await claim(15_000, 1_000_000)).toEqual(['large', 'large']);
  expect(await claim(1_000_000, 1_000_000)).toEqual(['large']);
});
