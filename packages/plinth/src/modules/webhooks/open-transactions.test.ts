/** What one process or one tenant leaves open or locked keeps nobody else's deliveries and results waiting. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { consumeOnce } from '#kernel/feed.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { WebhookReceiver } from '#testing/webhook-receiver.ts';
import { webhookReceiver } from '#testing/webhook-receiver.ts';
import { fanOut } from './consumer.ts';
import type { DispatchOptions } from './dispatch.ts';
import { dispatcher } from './dispatch.ts';

let database: TestDatabase;
let receiver: WebhookReceiver;
let a: string;
let b: string;
const open: (() => unknown)[] = [];
beforeAll(async () => {
  database = await testDatabase('webhooks_open');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.admin.query(
    'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.flights, plinth_webhooks.attempts, plinth_webhooks.held_back cascade',
  );
  receiver = await webhookReceiver();
  open.push(() => receiver.close());
});
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
async function subscribe(tenantId: string, name: string, more = ''): Promise<string> {
  const [made] = await as<{ id: string; secret: string | null }>(
    tenantId,
    `select subscription_id as id, secret from plinth.subscribe($1, '{order.#}'${more || `, '${receiver.url}?${name}'`})`,
    [name],
  );
  receiver.secrets.push(made?.secret ?? '');
  return made?.id ?? '';
}
async function publish(tenantId: string, count = 1, type = 'order.created'): Promise<void> {
  await as(tenantId, 'select plinth.publish_event($1, jsonb_build_object($3::text, n)) from generate_series(1, $2::int) n', [type, count, 'n']);
}
async function readFeed(): Promise<void> {
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
}
async function happen(tenantId: string, count = 1): Promise<void> {
  await publish(tenantId, count);
  await readFeed();
}
/** What somebody began and neither commits nor rolls back until the test ends, or they are told to. */
async function leftOpen(tenantId: string, text: string, values: unknown[] = []): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => (ended ??= client.end());
  open.push(end);
  await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'; set local plinth.actor_id = 'ada'`);
  await client.query(text, values);
  return end;
}

function start(options: DispatchOptions = {}, plinth: Pick<TestDatabase['plinth'], 'asWorker'> = database.plinth) {
  const egress = createEgress({ policy: developmentPolicy });
  const log = { info() {}, warn() {}, error() {} };
  const services = { clock: { now: () => Date.now() }, log, adapters: { egress }, enabled: () => true };
  const runtime = {
    plinth: { newId: database.plinth.newId, transaction: database.plinth.transaction, asWorker: plinth.asWorker },
    services,
    wake: database.plinth.wake,
  };
  const part = dispatcher({ pollMs: 50, graceMs: 50, ...options })(runtime as unknown as WorkerRuntime);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= part.stop().then(() => egress.close()));
  open.push(stop);
  return { stop };
}
const eventually = { timeout: 20_000 };
const receivedBy = (name: string): number => receiver.received.filter(({ path }) => path.endsWith(`?${name}`)).length;
const loggedOf = async (tenantId: string): Promise<string[]> =>
  (await as<{ status: string }>(tenantId, 'select status from plinth.event_delivery_log order by id')).map(({ status }) => status);

describe('a dispatcher that stands still', () => {
  test('right after its claim holds up nobody, and what it had claimed is sent when its lease is over', async () => {
    await subscribe(a, 'one');
    await happen(a);
    const claimed = Promise.withResolvers<void>();
    const frozen = Promise.withResolvers<void>();
    // As with kill -STOP: nothing of this process goes on after the rows have come. COMMIT left with the statement.
    const asWorker: TestDatabase['plinth']['asWorker'] = (input, body) =>
      database.plinth.asWorker(input, async (tx) => {
        const result = await body(tx);
        if (Array.isArray(result) && result.length > 0) {
          claimed.resolve();
          await frozen.promise;
        }
        return result;
      });
    const standing = start({}, { asWorker });
    await claimed.promise;
    await happen(a);
    start();
    await receiver.waitFor(1);
    await vi.waitFor(async () => expect(await loggedOf(a)).toEqual(['delivered']), eventually);
    await database.admin.query('update plinth_webhooks.flights set lease_until = clock_timestamp()');
    await receiver.waitFor(2);
    await vi.waitFor(async () => expect(await loggedOf(a)).toEqual(['delivered', 'delivered']), eventually);
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(2);
    frozen.resolve();
    await standing.stop();
  });

  // Elsewhere a server that sends is ended by nothing.
  test.skipIf(process.platform !== 'linux')('while the server sends it what it claimed is cut off, and another sends that', { timeout: 90_000 }, async () => {
    const id = await subscribe(a, 'one');
    // More than what the network takes for a client that reads nothing.
    await database.admin.query(
      `insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_type, body) select $1, $2, 'order.created', to_json(repeat('x', 10000000)) from generate_series(1, 3)`,
      [a, id],
    );
    const client = new pg.Client({ connectionString: database.url });
    client.on('error', () => {});
    await client.connect();
    open.push(() => client.end());
    await client.query('begin; set local role plinth_worker; set local statement_timeout = 5000; set local idle_in_transaction_session_timeout = 5000');
    const cutOff = client.query('select * from plinth_webhooks.claim(100)').catch((error: Error) => error);
    (client as unknown as { connection: { stream: { pause(): void } } }).connection.stream.pause();
    const sending = `select from pg_stat_activity where datname = current_database() and wait_event = 'ClientWrite'`;
    await vi.waitFor(async () => expect((await database.admin.query(sending)).rowCount).toBe(1), eventually);
    start();
    await vi.waitFor(() => expect(receiver.received).toHaveLength(3), { timeout: 60_000 });
    (client as unknown as { connection: { stream: { resume(): void } } }).connection.stream.resume();
    expect(await cutOff).toBeInstanceOf(Error);
  });

  test('does not keep another from stopping, however long it holds the claim', async () => {
    await subscribe(a, 'one');
    await happen(a);
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    open.push(() => client.end());
    await client.query('begin; set local role plinth_worker');
    await client.query('select * from plinth_webhooks.claim(10)');
    const waiting = start({ statementMs: 300 });
    const blocked = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%plinth_webhooks.claim%'`;
    await vi.waitFor(async () => expect((await database.admin.query(blocked)).rowCount).toBe(1), eventually);
    await waiting.stop();
    expect(receiver.received).toHaveLength(0);
    await client.query('rollback');
    start();
    await receiver.waitFor(1);
  });
});

const CHANGES = {
  unsubscribing: 'select plinth.unsubscribe($1)',
  renaming: `select plinth.update_subscription($1, p_name => 'another name')`,
  're-ordering': `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`,
  'withholding internal types': 'select plinth.update_subscription($1, p_public_only => true)',
  resuming: 'select plinth.resume_subscription($1)',
};
const changes = Object.entries(CHANGES);

describe('a transaction that a tenant leaves open', () => {
  test.each(changes)('by %s keeps no events from the subscriptions of another tenant', async (_what, text) => {
    const held = await subscribe(a, 'held');
    await subscribe(b, 'free');
    await happen(a);
    await leftOpen(a, text, [held]);
    await publish(a);
    await publish(b);
    await readFeed();
    start();
    await vi.waitFor(() => expect(receivedBy('free')).toBe(1), eventually);
  });

  test.each([
    ['unsubscribing', CHANGES.unsubscribing],
    ['renaming', CHANGES.renaming],
    ['resuming', CHANGES.resuming],
  ])('by %s keeps no messages from the pulled subscriptions of another tenant, and loses none of its own', async (what, text) => {
    const held = await subscribe(a, 'held', `, p_mode => 'pull'`);
    await subscribe(b, 'free', `, p_mode => 'pull'`);
    await happen(a, 2);
    const end = await leftOpen(a, text, [held]);
    await publish(a);
    await happen(b);
    const append = () =>
      database.plinth.asWorker({ timeoutMs: 5000 }, (tx) => tx.query<{ tenant_id: string; appended: number }>('select * from plinth_webhooks.append_pulled()'));
    expect((await append()).filter(({ tenant_id }) => tenant_id === b)).toMatchObject([{ appended: 1 }]);
    await end();
    await append();
    const { rows } = await database.admin.query(
      'select position::int, body::jsonb -> $2 as data from plinth_webhooks.pulled_messages where subscription_id = $1 order by 1',
      [held, 'data'],
    );
    expect(rows, what).toEqual([1, 2, 3].map((position) => ({ position, data: { n: position === 3 ? 1 : position } })));
  });

  test.each(changes)('by %s keeps no results waiting but its own, which are written when it ends; nothing is sent twice', async (_what, text) => {
    const held = await subscribe(a, 'held');
    await subscribe(b, 'free');
    await happen(a, 3);
    const answers: (() => void)[] = [];
    receiver.answer = (response, { path }) => (path.endsWith('?held') ? answers.push(() => void response.writeHead(204).end()) : response.writeHead(204).end());
    start();
    await vi.waitFor(() => expect(answers).toHaveLength(3), eventually);
    const end = await leftOpen(a, text, [held]);
    for (const answer of answers) answer();
    await happen(b, 20);
    await vi.waitFor(async () => expect(await loggedOf(b)).toHaveLength(20), eventually);
    await end();
    await vi.waitFor(async () => expect(await loggedOf(a)).toEqual(['delivered', 'delivered', 'delivered']), eventually);
    expect(receivedBy('held')).toBe(3);
    expect((await database.admin.query('select from plinth_webhooks.deliveries')).rowCount).toBe(0);
  });

  test.each([
    ['410 Gone', 410, ''],
    ['the failure that disables', 500, "update plinth_webhooks.subscriptions set disable_after_failures = 1, disable_after = interval '0'"],
  ])('keeps %s from disabling its subscription until it ends, and no other result waiting', async (_what, status, prepare) => {
    const held = await subscribe(a, 'held');
    await subscribe(b, 'free');
    if (prepare) await database.admin.query(`${prepare} where id = $1`, [held]);
    receiver.answer = (response, { path }) => response.writeHead(path.endsWith('?held') ? status : 204).end();
    await happen(a);
    const end = await leftOpen(a, CHANGES.renaming, [held]);
    start();
    await vi.waitFor(() => expect(receivedBy('held')).toBe(1), eventually);
    await happen(b, 20);
    await vi.waitFor(async () => expect(await loggedOf(b)).toHaveLength(20), eventually);
    expect(await loggedOf(a)).toEqual([]);
    await end();
    await vi.waitFor(
      async () => expect(await as(a, 'select enabled from plinth.event_subscriptions where id = $1', [held])).toEqual([{ enabled: false }]),
      eventually,
    );
    expect(await loggedOf(a)).toEqual(['failed']);
  });

  test('keeps no replay of another tenant waiting, and its own goes on when it ends', async () => {
    const ids = [await subscribe(a, 'held'), await subscribe(b, 'free')];
    for (const tenantId of [a, b]) await happen(tenantId);
    await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', due_at = 'infinity', finished_at = now()`);
    const { rows } = await database.admin.query<{ id: string }>('select id from plinth_webhooks.deliveries where tenant_id = $1', [a]);
    for (const [i, tenantId] of [a, b].entries()) await as(tenantId, 'select plinth.start_replay($1, p_only_failed => true)', [ids[i]]);
    const end = await leftOpen(a, 'select plinth.resend_delivery($1)', [rows[0]?.id]);
    const work = () => database.plinth.asWorker({ timeoutMs: 5000 }, (tx) => tx.query('select plinth_webhooks.work_replays()'));
    const added = async () =>
      (await database.admin.query<{ added: number }>('select added from plinth_webhooks.replays order by tenant_id = $1 desc', [a])).rows.map(
        (row) => row.added,
      );
    await work();
    expect(await added()).toEqual([0, 1]);
    await end();
    await work();
    expect(await added()).toEqual([1, 1]);
  });

  test('does not stop claims where the first of an ordered lane is what it holds; that goes out when it ends', async () => {
    const held = await subscribe(a, 'held');
    await as(a, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [held]);
    await subscribe(b, 'free');
    await happen(a);
    await database.admin.query(`update plinth_webhooks.deliveries set due_at = 'infinity'`);
    await database.admin.query('insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) values ($1, $2, $3)', [a, held, '']);
    const end = await leftOpen(a, CHANGES['withholding internal types'], [held]);
    start();
    await happen(b);
    await vi.waitFor(() => expect(receivedBy('free')).toBe(1), eventually);
    await end();
    await vi.waitFor(() => expect(receivedBy('held')).toBe(1), eventually);
  });
});

test('what is settled at the moment when another claims it, because its lease has ended, is not sent again', async () => {
  await subscribe(a, 'orders');
  await happen(a);
  const claim = () => database.plinth.asWorker({}, (tx) => tx.query<Record<string, unknown>>('select * from plinth_webhooks.claim(10)'));
  const [mine] = await claim();
  await database.admin.query('update plinth_webhooks.flights set lease_until = clock_timestamp()');
  const result = JSON.stringify([{ ...mine, outcome: 'delivered', url: receiver.url }]);
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%plinth_webhooks.claim%'`;
  let claimed: unknown;
  const claiming = await database.plinth.asWorker({}, async (tx) => {
    expect(await tx.query('select status from plinth_webhooks.settle($1)', [result])).toEqual([{ status: 'delivered' }]);
    const other = claim().then((rows) => (claimed = rows));
    await expect.poll(async () => claimed !== undefined || (await database.admin.query(waits)).rowCount === 1).toBe(true);
    return { other };
  });
  expect(await claiming.other).toEqual([]);
  expect((await database.admin.query('select from plinth_webhooks.flights')).rowCount).toBe(0);
  expect((await database.admin.query('select from plinth_webhooks.attempts')).rowCount).toBe(1);
});

test('what was made for a subscription while it was being deleted is swept, and nothing else', async () => {
  const gone = await subscribe(a, 'gone');
  await subscribe(b, 'stays');
  const deleting = new pg.Client({ connectionString: database.url });
  await deleting.connect();
  open.push(() => deleting.end());
  await deleting.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${a}'`);
  await deleting.query('select plinth.unsubscribe($1)', [gone]);
  await publish(a);
  await happen(b);
  await deleting.query('commit');
  const left = async () => (await database.admin.query('select tenant_id from plinth_webhooks.deliveries order by 1')).rows.map((row) => row.tenant_id);
  expect((await left()).toSorted()).toEqual([a, b].toSorted());
  expect(await as(a, 'select id from plinth.event_deliveries')).toEqual([]);
  expect(await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.sweep_deliveries() as n'))).toEqual([{ n: 1 }]);
  expect(await left()).toEqual([b]);
});

test('deliveries of a deleted subscription that somebody holds keep no others from being swept, nor do they stay', async () => {
  const [gone] = (
    await database.admin.query<{ id: string }>(
      `insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_type, body) select t, gen_random_uuid(), 'order.created', '{}' from unnest($1::uuid[]) t returning subscription_id as id`,
      [[a, b]],
    )
  ).rows;
  await database.admin.query(`insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) values ($1, $2, '')`, [a, gone?.id]);
  const end = await leftOpen(a, 'select from plinth_webhooks.deliveries for update');
  const sweep = () => database.plinth.asWorker({ timeoutMs: 5000 }, (tx) => tx.query('select plinth_webhooks.sweep_deliveries() as n'));
  expect(await sweep()).toEqual([{ n: 1 }]);
  await end();
  expect(await sweep()).toEqual([{ n: 1 }]);
  expect((await database.admin.query('select from plinth_webhooks.held_back')).rowCount).toBe(0);
});

test('a tenant that holds more failing subscriptions than are told of at once keeps no other from being told', async () => {
  const [first = '', last = ''] = [a, b].toSorted();
  await database.admin.query(
    `with s as (insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by)
       select t.id, 's' || n, 'https://example.com/', '{x}', 'test' from unnest($1::uuid[], $2::int[]) as t (id, count), generate_series(1, t.count) n returning tenant_id, id)
     insert into plinth_webhooks.lanes (tenant_id, subscription_id, warned, failing_since, failure_count) select tenant_id, id, 50, now(), 10 from s`,
    [
      [first, last],
      [150, 1],
    ],
  );
  await leftOpen(first, 'select from plinth_webhooks.lanes for update');
  start();
  const told = () => as(last, `select from plinth.audit_logs where action = 'webhooks.subscription_failing'`);
  await vi.waitFor(async () => expect(await told()).toHaveLength(1), eventually);
});
