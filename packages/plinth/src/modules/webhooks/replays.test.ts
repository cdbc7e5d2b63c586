/** Replays side by side: who has a turn, how fast they go, what is told of what they left out, and what becomes of them when a subscription is resumed. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { createPlinth } from '../../index.ts';
import { fanOut } from './consumer.ts';
import type { Claimed } from './simulation.fixture.ts';
import { Simulation } from './simulation.fixture.ts';

let database: TestDatabase;
let a: string;
let b: string;
const HOLDER = '018f0000-0000-7000-8000-0000000000d2';
beforeAll(async () => {
  database = await testDatabase('webhooks_replays');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
async function subscribe(tenantId: string, pattern: string, more = ''): Promise<string> {
  const [made] = await as<{ id: string }>(
    tenantId,
    `select subscription_id as id from plinth.subscribe('s' || gen_random_uuid(), array[$1], 'https://example.com/'${more && `, ${more}`})`,
    [pattern],
  );
  return made?.id ?? '';
}
const work = () => database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.work_replays()'));
interface Replay {
  status: string;
  total: number;
  added: number;
  left_out: number;
  last_error: string | null;
}
async function replayed(id: string): Promise<Replay[]> {
  const { rows } = await database.admin.query<Replay>(
    'select status, total, added, left_out, last_error from plinth.webhook_replays where subscription_id = $1 order by id',
    [id],
  );
  return rows;
}
/** Events in one transaction, read by the fan-out; no subscription is there yet. */
async function happen(tenantId: string, type: string, from: number, to: number): Promise<void> {
  await as(tenantId, `select plinth.publish_event($1, jsonb_build_object('n', n)) from generate_series($2::int, $3::int) n`, [type, from, to]);
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
}
const HOUR = `now() - interval '1 hour'`;

test('replays that cannot go on keep no others waiting', async () => {
  await happen(a, 'stuck.made', 1, 2);
  await happen(b, 'wanted.made', 1, 1);
  for (let lane = 0; lane < 4; lane++) {
    const stuck = await subscribe(a, 'stuck.*');
    // At its rate each has sent one and has to wait for the next.
    for (let n = 0; n < 5; n++) await as(a, `select plinth.start_replay($1, ${HOUR}, p_rate_per_second => 0.1)`, [stuck]);
  }
  await work();
  const free = await subscribe(b, 'wanted.*');
  await as(b, `select plinth.start_replay($1, ${HOUR})`, [free]);
  await database.admin.query(`update plinth_webhooks.replays set looked_at = '2020-01-01' where tenant_id = $1`, [a]);
  await work();
  expect(await replayed(free)).toMatchObject([{ status: 'done', added: 1 }]);
});

test('one for a subscription that is disabled waits, and is worked off when it is resumed, however', async () => {
  await happen(a, 'paused.made', 1, 3);
  for (const mode of ['continue', 'skip']) {
    const id = await subscribe(a, 'paused.*');
    await as(a, 'select plinth.disable_subscription($1)', [id]);
    await as(a, `select plinth.start_replay($1, ${HOUR})`, [id]);
    await work();
    expect(await replayed(id)).toMatchObject([{ status: 'running', total: 3, added: 0 }]);
    await as(a, 'select plinth.resume_subscription($1, $2)', [id, mode]);
    await work();
    expect(await replayed(id), mode).toMatchObject([{ status: 'done', added: 3 }]);
  }
});

test('an ordered lane that is resumed without what waits keeps what is under way, and the next of its key goes out behind that', async () => {
  const id = await subscribe(a, 'lane.*');
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => '$.n', p_poison => 'block', p_retry_schedule => 'none')`, [
    id,
  ]);
  for (let twice = 0; twice < 2; twice++) await happen(a, 'lane.made', 1, 2);
  const simulation = new Simulation(database.admin);
  const [first, second] = (await simulation.claim(10, HOLDER)).toSorted((x, y) => x.seq - y.seq);
  if (!first || !second) throw new Error('one of each key is under way');
  await simulation.settle([{ claimed: second, answer: { outcome: 'failed', response_code: 400 } }]);
  expect(await as(a, `select order_key from plinth.event_deliveries where status = 'blocked'`)).toEqual([{ order_key: '2' }]);
  await as(a, 'select plinth.disable_subscription($1)', [id]);
  expect(await as(a, `select waiting, dropped from plinth.resume_subscription($1, 'skip')`, [id])).toEqual([{ waiting: 1, dropped: 3 }]);
  await happen(a, 'lane.made', 1, 2);
  const next = await simulation.claim(10, HOLDER);
  expect(next, 'what blocked its key is gone').toMatchObject([{ lane_key: '2' }]);
  await simulation.settle([first, ...next].map((claimed) => ({ claimed, answer: { outcome: 'delivered' } })));
  expect(await simulation.claim(10, HOLDER)).toMatchObject([{ lane_key: '1' }]);
  expect(await as(a, 'select order_key, status from plinth.event_deliveries')).toEqual([{ order_key: '1', status: 'processing' }]);
});

test('what was under way when the order changed goes out again, though what was before it was dropped and its dispatcher died', async () => {
  const id = await subscribe(a, 'died.*');
  await happen(a, 'died.made', 1, 2);
  const simulation = new Simulation(database.admin);
  const [first, second] = (await simulation.claim(10, HOLDER)).toSorted((x, y) => x.seq - y.seq);
  if (!first || !second) throw new Error('both are under way');
  await simulation.settle([{ claimed: first, answer: { outcome: 'returned' } }]);
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [id]);
  expect(await as(a, `select waiting, dropped from plinth.resume_subscription($1, 'skip')`, [id])).toEqual([{ waiting: 1, dropped: 1 }]);
  expect(await simulation.claim(10, HOLDER)).toEqual([]);
  await simulation.advance(61);
  expect((await simulation.claim(10, HOLDER)).map((one) => one.id)).toEqual([second.id]);
});

test('what was tried under one key does not go out beside what is before it under another', async () => {
  const id = await subscribe(a, 'turned.*');
  const order = (path: string) => as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo_by_key', p_order_key => $2)`, [id, path]);
  await order('$.one');
  await as(a, `select plinth.publish_event('turned.made', e) from jsonb_array_elements('[{"one": "y", "two": "x"}, {"one": "x", "two": "x"}]') e`);
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
  const simulation = new Simulation(database.admin);
  const [first, second] = (await simulation.claim(10, HOLDER)).toSorted((x, y) => x.seq - y.seq);
  if (!first || !second) throw new Error('one of each key is under way');
  const refused = { outcome: 'failed', response_code: 422 } as const;
  await simulation.settle([{ claimed: first, answer: refused }]);
  await order('$.two');
  await simulation.settle([{ claimed: second, answer: refused }]);
  const [again] = await simulation.claim(10, HOLDER, 600);
  expect(again?.id).toBe(first.id);
  await simulation.advance(400);
  expect(await simulation.claim(10, HOLDER)).toEqual([]);
  await simulation.settle([{ claimed: again as Claimed, answer: { outcome: 'delivered' } }]);
  expect((await simulation.claim(10, HOLDER)).map((one) => one.id)).toEqual([second.id]);
});

test.each(['is under way', 'is claimed while the change is not committed'])(
  'the first of a key waits for a later one that %s since before the change',
  async (how) => {
    const id = await subscribe(a, 'crossing.*');
    const order = 'select plinth.set_delivery_policy($1, p_ordering => $2, p_order_key => $3)';
    await as(a, order, [id, 'fifo_by_key', '$.one']);
    const events = [
      { n: 0, one: 'a', two: 'y' },
      { n: 1, one: 'a', two: 'x' },
      { n: 2, one: 'b', two: 'x' },
    ];
    await as(a, `select plinth.publish_event('crossing.made', e) from jsonb_array_elements($1) e`, [JSON.stringify(events)]);
    while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
    const simulation = new Simulation(database.admin);
    let flying = how === 'is under way' ? await simulation.claim(10, HOLDER) : [];
    await database.plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query(order, [id, 'fifo_by_key', '$.two']);
      if (flying.length === 0) flying = await simulation.claim(10, HOLDER);
    });
    expect(flying).toHaveLength(2);
    await database.plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query('select from plinth_webhooks.lanes where subscription_id = $1 for no key update', [id]);
      expect(await simulation.claim(10, HOLDER), 'while somebody holds the lane').toEqual([]);
    });
    expect(await simulation.claim(10, HOLDER)).toEqual([]);
    const delivered = { outcome: 'delivered' } as const;
    const [, later] = flying.toSorted((x, y) => x.seq - y.seq);
    await simulation.settle([{ claimed: later as Claimed, answer: delivered }]);
    const next = await simulation.claim(10, HOLDER);
    expect(
      await as(a, `select (body::jsonb #>> '{data,n}')::int as n from plinth_webhooks.deliveries where id = any ($1)`, [next.map((one) => one.id)]),
    ).toEqual([{ n: 1 }]);
  },
);

test('a subscription that was pulled goes on where its lane ended when it is pushed', async () => {
  const [{ id } = { id: '' }] = await as<{ id: string }>(a, `select subscription_id as id from plinth.subscribe('pulled', '{turning.*}', p_mode => 'pull')`);
  await happen(a, 'turning.made', 1, 3);
  await database.plinth.asWorker({}, (tx) => tx.query('select from plinth_webhooks.append_pulled(1)'));
  await as(a, `select plinth.update_subscription($1, p_mode => 'push', p_url => 'https://example.com/')`, [id]);
  const simulation = new Simulation(database.admin);
  for (const n of [2, 3]) {
    const [one] = await simulation.claim(10, HOLDER);
    expect(await as(a, `select (body::jsonb #>> '{data,n}')::int as n from plinth.event_deliveries where id = $1`, [one?.id])).toEqual([{ n }]);
    await simulation.settle([{ claimed: one as Claimed, answer: { outcome: 'delivered' } }]);
  }
});

test('a subscription has 5 running at most, a tenant 20, and another tenant its own', async () => {
  await happen(a, 'many.made', 1, 1);
  const start = (tenantId: string, id: string) => as(tenantId, `select plinth.start_replay($1, ${HOUR})`, [id]);
  for (let lane = 0; lane < 4; lane++) {
    const id = await subscribe(a, 'many.*');
    for (let n = 0; n < 5; n++) await start(a, id);
    expect(await errorCode(start(a, id))).toBe('webhooks_replays_busy');
  }
  expect(await errorCode(start(a, await subscribe(a, 'many.*')))).toBe('webhooks_replays_busy');
  await start(b, await subscribe(b, 'many.*'));
  const id = await subscribe(b, 'many.*');
  for (const rate of [0, 0.09, 100_001, 'NaN', '-Infinity'])
    expect(await errorCode(as(b, `select plinth.start_replay($1, ${HOUR}, p_rate_per_second => $2)`, [id, rate])), String(rate)).toBe(
      'webhooks_replay_invalid',
    );
});

test('what the filter keeps back and what waits anyway is left out, and told', async () => {
  await happen(a, 'left.made', 1, 4);
  const nothing = await subscribe(a, 'left.*', `p_filter => '"$.data.n > 9"'`);
  expect(await as(a, `select plinth.preview_replay($1, ${HOUR}) as n`, [nothing])).toEqual([{ n: 0 }]);
  await as(a, `select plinth.start_replay($1, ${HOUR})`, [nothing]);
  const twice = await subscribe(a, 'left.*');
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [twice]);
  await as(a, `select plinth.start_replay($1, ${HOUR})`, [twice]);
  await as(a, `select plinth.start_replay($1, ${HOUR})`, [twice]);
  await work();
  expect(await replayed(nothing)).toMatchObject([{ status: 'done', total: 0, added: 0, left_out: 4 }]);
  expect(await replayed(twice)).toMatchObject([
    { status: 'done', total: 4, added: 4, left_out: 0 },
    { status: 'done', total: 4, added: 0, left_out: 4 },
  ]);
});

test('ids that nobody knows are refused, with how many', async () => {
  await happen(a, 'known.made', 1, 1);
  const id = await subscribe(a, 'known.*');
  const [event] = await as<{ id: string }>(a, `select id from plinth_events.events where type = 'known.made' limit 1`);
  const start = (tenantId: string, of: string, ids: unknown[]) => as(tenantId, 'select plinth.start_replay($1, p_ids => $2)', [of, ids]);
  await start(a, id, [event?.id]);
  const unknown = [database.plinth.newId(), database.plinth.newId()];
  await expect(start(a, id, [event?.id, ...unknown])).rejects.toMatchObject({ code: 'webhooks_replay_invalid', status: 400, detail: { unknown: 2 } });
  expect(await errorCode(start(b, await subscribe(b, 'known.*'), [event?.id])), 'of another tenant').toBe('webhooks_replay_invalid');
});

test('one whose filter raises fails, and the others go on', async () => {
  await happen(a, 'bad.made', 1, 2);
  const bad = await subscribe(a, 'bad.*', `p_filter => '"$.data.n > 0"'`);
  await as(a, `select plinth.start_replay($1, ${HOUR})`, [bad]);
  const well = await subscribe(a, 'bad.*');
  await as(a, `select plinth.start_replay($1, ${HOUR})`, [well]);
  // Kept from a time when it could be stored.
  await database.admin.query(`update plinth_webhooks.subscriptions set filter_path = '$customer.id == 1' where id = $1`, [bad]);
  await work();
  expect(await replayed(bad)).toMatchObject([{ status: 'failed', added: 0, last_error: 'could not find jsonpath variable "customer"' }]);
  expect(await replayed(well)).toMatchObject([{ status: 'done', added: 2 }]);
  expect(await errorCode(as(a, `select plinth.start_replay($1, ${HOUR})`, [bad]))).toBe('webhooks_replay_invalid');
});

test('a rate counts what is sent: noise before it costs no time', async () => {
  await happen(a, 'noise.made', 1, 2300);
  await happen(a, 'rare.made', 1, 3);
  const id = await subscribe(a, '#', `p_filter => '{"prefix": {"type": "rare."}}'`);
  await as(a, `select plinth.start_replay($1, ${HOUR}, p_rate_per_second => 0.1)`, [id]);
  // 1,000 at a look.
  for (let looks = 0; looks < 3; looks++) await work();
  await work();
  expect(await replayed(id)).toMatchObject([{ status: 'running', added: 1 }]);
  // The second time the clock was set back meanwhile.
  for (const [added, by] of [
    [2, '-10 seconds'],
    [3, '1 hour'],
  ] as const) {
    await database.admin.query(`update plinth_webhooks.replays set worked_at = worked_at + $1::interval where status = 'running'`, [by]);
    await work();
    expect((await replayed(id))[0]?.added).toBe(added);
  }
  await database.admin.query(`update plinth_webhooks.replays set worked_at = worked_at - interval '10 seconds' where status = 'running'`);
  await work();
  expect(await replayed(id)).toMatchObject([{ status: 'done', added: 3 }]);
});

/** Looks until there is nothing left to look at: 1,000 events at a time, also those of the tests before. */
async function workAll(): Promise<void> {
  for (let looked = 1; looked > 0; )
    [{ looked }] = (await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.work_replays() as looked'))) as [{ looked: number }];
}

test('a filter narrows a replay beside that of the subscription, in every dialect, and for what was given up; it is kept and audited', async () => {
  for (const [tenantId, to] of [
    [a, 6],
    [b, 2],
  ] as const)
    await happen(tenantId, 'order.placed', 1, to);
  const [id, other] = [await subscribe(a, 'order.*', `p_filter => '"$.data.n < 6"'`), await subscribe(b, 'order.*')];
  const preview = async (filter: string, more = '') =>
    (await as<{ n: number }>(a, `select plinth.preview_replay($1, ${HOUR}, p_filter => $2${more}) as n`, [id, filter]))[0]?.n;
  const [first] = await as<{ id: string }>(a, `select id from plinth.events where event_type = 'order.placed' order by id limit 1`);
  expect(await preview('null')).toBe(5);
  expect(await preview('"$.data.n > 3"')).toBe(2);
  expect(await preview(JSON.stringify([{ exact: { 'data.n': 3 } }]))).toBe(1);
  expect(await preview(JSON.stringify({ not: { exact: { id: first?.id } } }))).toBe(4);
  expect(await preview('"$.data.n > 3"', `, p_patterns => '{other.*}'`)).toBe(0);
  expect(await errorCode(preview('"$.data.n like_regex \\"1\\""'))).toBe('webhooks_filter_invalid');

  await as(a, `select plinth.start_replay($1, ${HOUR}, p_filter => '"$.data.n > 3"')`, [id]);
  await as(b, `select plinth.start_replay($1, ${HOUR}, p_filter => '"$.data.n == 2"')`, [other]);
  await workAll();
  expect(await replayed(id)).toMatchObject([{ status: 'done', total: 2, added: 2, left_out: 4 }]);
  expect(await replayed(other)).toMatchObject([{ status: 'done', total: 1, added: 1, left_out: 1 }]);
  const sent = (tenantId: string) =>
    as<{ n: number }>(tenantId, `select (body::jsonb #>> '{data,n}')::int as n from plinth_webhooks.deliveries where status = 'pending' order by 1`);
  expect(await sent(a)).toEqual([{ n: 4 }, { n: 5 }]);
  expect(await sent(b)).toEqual([{ n: 2 }]);
  expect(await as(a, 'select filter from plinth.webhook_replays')).toEqual([{ filter: '$.data.n > 3' }]);
  expect(await as(a, `select metadata -> 'filter' as filter from plinth.audit_logs where action = 'webhooks.replay_started' order by id desc limit 1`)).toEqual(
    [{ filter: '$.data.n > 3' }],
  );

  await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', finished_at = now(), due_at = 'infinity'`);
  await as(a, `select plinth.start_replay($1, p_only_failed => true, p_filter => '{"exact": {"data.n": 5}}')`, [id]);
  await workAll();
  expect((await replayed(id)).at(-1)).toMatchObject({ status: 'done', total: 1, added: 1, left_out: 1 });
  expect([await sent(a), await sent(b)]).toEqual([[{ n: 5 }], []]);
});

test.each([
  ['fifo', 'parallel'],
  ['parallel', 'fifo'],
])('what was given up while the order was %s is sent again when it is %s, in the order of now', async (before, now) => {
  const id = await subscribe(a, 'order.*');
  await as(a, 'select plinth.set_delivery_policy($1, p_ordering => $2)', [id, before]);
  await happen(a, 'order.made', 1, 3);
  await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', finished_at = now(), due_at = 'infinity'`);
  await as(a, 'select plinth.set_delivery_policy($1, p_ordering => $2)', [id, now]);
  await as(a, 'select plinth.start_replay($1, p_only_failed => true)', [id]);
  await work();
  expect(await replayed(id)).toMatchObject([{ status: 'done', added: 3 }]);
  await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.release_held_back()'));
  const { rows } = await database.admin.query(`select due_at < 'infinity' as due, lane_key as key from plinth_webhooks.deliveries order by seq`);
  expect(rows).toEqual(now === 'fifo' ? [true, false, false].map((due) => ({ due, key: '' })) : [1, 2, 3].map(() => ({ due: true, key: null })));
});

test('what was given up goes out in the order of its events, also of those of one millisecond', async () => {
  const id = await subscribe(a, 'same.*');
  await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [id]);
  // More than a batch takes, which so ends in the middle of a millisecond.
  await happen(a, 'same.made', 1, 900);
  await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', finished_at = now(), due_at = 'infinity'`);
  await as(a, 'select plinth.start_replay($1, p_only_failed => true)', [id]);
  await workAll();
  const { rows } = await database.admin.query<{ n: number }>(`select (body::jsonb #>> '{data,n}')::int as n from plinth_webhooks.deliveries order by seq`);
  expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 900 }, (_, index) => index + 1));
});

test('without an end takes everything that has happened, also what was published by a host whose clock is ahead', async () => {
  const id = await subscribe(a, 'ahead.*');
  await as(a, 'select plinth.disable_subscription($1)', [id]);
  const ahead = createPlinth({ database: { url: database.serverUrl }, clock: { now: () => Date.now() + 60_000 } });
  try {
    await ahead.transaction({ tenantId: a }, async (tx) => tx.events.publish('ahead.made', { n: 1 }));
  } finally {
    await ahead.close();
  }
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
  await as(a, `select plinth.resume_subscription($1, 'replay', ${HOUR})`, [id]);
  // Events of the tests before are looked at as well, 1,000 at a time.
  for (let turn = 0; turn < 20 && (await replayed(id))[0]?.status === 'running'; turn++) await work();
  expect(await replayed(id)).toMatchObject([{ status: 'done', total: 1, added: 1 }]);
});
