/** From an event to a verified request at a real receiver, and what is written down about it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
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
let lines: { fields: Record<string, unknown>; message: string }[] = [];
const open: (() => unknown)[] = [];

beforeAll(async () => {
  database = await testDatabase('webhooks_dispatch');
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts cascade');
  lines = [];
  receiver = await webhookReceiver();
  open.push(() => receiver.close());
});
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

const note = (fields: object, message: string): void => void lines.push({ fields: fields as Record<string, unknown>, message });
function start(options: DispatchOptions = {}, policy = developmentPolicy) {
  const egress = createEgress({ policy });
  const services = { clock: { now: () => Date.now() }, log: { info: note, warn: note, error: note }, adapters: { egress }, enabled: () => true };
  const runtime = { plinth: database.plinth, services, wake: database.plinth.wake } as unknown as WorkerRuntime;
  const part = dispatcher({ pollMs: 50, ...options })(runtime);
  open.push(async () => {
    await part.stop();
    egress.close();
  });
  return part;
}

const inTenant = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId }, (tx) => tx.query<Row>(text, values));
async function subscribe(tenantId: string, name: string, patterns: string[], url = receiver.url): Promise<{ id: string; secret: string }> {
  const [made] = await inTenant<{ id: string; secret: string }>(tenantId, 'select subscription_id as id, secret from plinth.subscribe($1, $2, $3)', [
    name,
    patterns,
    url,
  ]);
  if (!made) throw new Error('not subscribed');
  receiver.secrets.push(made.secret);
  return made;
}
const EVENT = { total: 12, text: 'zwölf Boxkämpfer \u{1F94A}' };
/** Publishes events in one transaction, and lets the fan-out read the feed to its end. */
async function happen(tenantId: string, ...types: string[]): Promise<string[]> {
  const ids = await database.plinth.transaction({ tenantId }, async (tx) => types.map((type) => tx.events.publish(type, EVENT)));
  while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
  return ids;
}
interface LogRow {
  status: string;
  attempt_number: number;
  response_code: number | null;
  error_code: string | null;
  error_message: string | null;
  webhook_id: string;
  event_id: string;
  response_body: string | null;
  response_time_ms: number;
  timings: Record<string, number> | null;
  request_headers: Record<string, string> | null;
  request_body: string;
}
const log = (tenantId: string) => inTenant<LogRow>(tenantId, 'select * from plinth.event_delivery_log order by id');
const queue = async (): Promise<{ id: string; status: string; attempts: number; waits_s: number; subscription_id: string }[]> =>
  (
    await database.admin.query(
      `select id, status, attempts, subscription_id, case when due_at < 'infinity' then extract(epoch from due_at - clock_timestamp())::float8 end as waits_s from plinth_webhooks.deliveries order by id`,
    )
  ).rows;
const makeDue = () =>
  database.admin.query(
    `update plinth_webhooks.lanes set next_at = null; update plinth_webhooks.deliveries set due_at = clock_timestamp() where status = 'pending' and due_at < 'infinity'`,
  );
/** Polls until it holds; a bound, not a sleep. */
async function until<T>(look: () => Promise<T | undefined | false>, what: string): Promise<T> {
  const end = performance.now() + 25_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within 25 s: ${what}`);
    await database.plinth.wake.next([], 10);
  }
}
const attemptsLogged = (tenantId: string, count: number) =>
  until(async () => {
    const rows = await log(tenantId);
    return rows.length >= count && rows;
  }, `${count} attempts in the log`);

describe('delivering', () => {
  test('every matching event reaches its own tenant only, signed, once, with id, body and log to show for it', async () => {
    const a = await subscribe(database.tenantA, 'orders', ['order.*']);
    await subscribe(database.tenantB, 'all of B', ['#']);
    start();
    const [created] = await happen(database.tenantA, 'order.created', 'user.created', 'order.line.added');
    const [inB] = await happen(database.tenantB, 'order.created');
    await receiver.waitFor(2);
    const [rowA] = await attemptsLogged(database.tenantA, 1);
    const [rowB] = await attemptsLogged(database.tenantB, 1);
    expect(receiver.received).toHaveLength(2);
    const first = receiver.received.find((got) => got.id === rowA?.webhook_id);
    expect(first?.verifiedBy).toEqual([0]);
    expect(first?.data).toMatchObject({ type: 'order.created', data: EVENT });
    expect(first?.headers['content-type']).toBe('application/json');
    expect(rowA).toMatchObject({ status: 'delivered', attempt_number: 1, response_code: 204, event_id: created, error_code: null, request_body: first?.body });
    expect(rowA?.timings?.total).toBeGreaterThan(0);
    expect(rowB?.event_id).toBe(inB);
    expect(await queue()).toEqual([]);
    expect(JSON.stringify([await log(database.tenantA), lines])).not.toContain(a.secret);
  });

  test('shows up in the trace of its event, with request, answer and timing', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    start();
    const [eventId] = await happen(database.tenantA, 'order.created');
    await attemptsLogged(database.tenantA, 1);
    const [{ correlation_id: correlationId } = { correlation_id: '' }] = await inTenant<{ correlation_id: string }>(
      database.tenantA,
      'select correlation_id from plinth.event_delivery_log',
    );
    const story = await inTenant<{ kind: string; parent_id: string; status: string; data: Record<string, unknown> }>(
      database.tenantA,
      'select * from plinth.trace($1)',
      [correlationId],
    );
    expect(story.map((row) => row.kind)).toEqual(['event', 'delivery attempt']);
    expect(story[1]).toMatchObject({ kind: 'delivery attempt', parent_id: eventId, status: 'delivered', data: { response_code: 204 } });
    expect(await inTenant(database.tenantB, 'select * from plinth.trace($1)', [correlationId])).toEqual([]);
  });

  test('a failed attempt is repeated by the schedule under the same id with the same body, newly stamped and signed', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    receiver.answer = (response, _received, count) =>
      response.writeHead(count === 1 ? 500 : 200, { 'content-type': 'text/plain' }).end(count === 1 ? 'bad\0 day' : 'thanks');
    start();
    await happen(database.tenantA, 'order.created');
    await attemptsLogged(database.tenantA, 1);
    const [waiting] = await queue();
    expect(waiting).toMatchObject({ status: 'pending', attempts: 1 });
    expect(waiting?.waits_s).toBeGreaterThan(1);
    expect(waiting?.waits_s).toBeLessThanOrEqual(6);
    await makeDue();
    const rows = await attemptsLogged(database.tenantA, 2);
    expect(rows.map((row) => [row.attempt_number, row.status, row.response_code])).toEqual([
      [1, 'failed', 500],
      [2, 'delivered', 200],
    ]);
    expect(rows[0]).toMatchObject({ error_code: 'http_500', error_message: 'The receiver answered 500', response_body: 'bad\uFFFD day' });
    const [one, two] = receiver.received;
    expect(two?.id).toBe(one?.id);
    expect(two?.body).toBe(one?.body);
    expect(two?.verifiedBy).toEqual([0]);
    expect(await queue()).toEqual([]);
  });

  test('Retry-After is honoured beyond the schedule, up to a day, and pauses the whole lane', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    const asked = ['120', '999999999'];
    receiver.answer = (response, _received, count) => response.writeHead(count === 1 ? 429 : 503, { 'retry-after': asked[count - 1] ?? '0' }).end();
    start();
    await happen(database.tenantA, 'order.created');
    await attemptsLogged(database.tenantA, 1);
    expect((await queue())[0]?.waits_s).toBeCloseTo(120, -1);
    await happen(database.tenantA, 'order.paid');
    const [paused] = await inTenant<{ s: number }>(
      database.tenantA,
      'select extract(epoch from paused_until - now())::float8 as s from plinth.event_subscriptions',
    );
    expect(paused?.s).toBeCloseTo(120, -1);
    expect(receiver.received).toHaveLength(1);
    await database.admin.query('delete from plinth_webhooks.deliveries where attempts = 0');
    await makeDue();
    await attemptsLogged(database.tenantA, 2);
    expect((await queue())[0]?.waits_s).toBeCloseTo(86_400, -2);
  });

  test('a redirect is a failure that names its target and is not followed', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    receiver.answer = (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/inside' }).end();
    start();
    await happen(database.tenantA, 'order.created');
    const [row] = await attemptsLogged(database.tenantA, 1);
    expect(row).toMatchObject({
      status: 'failed',
      error_code: 'http_302',
      error_message: 'The receiver answered 302; redirects are not followed (to http://127.0.0.1:1/inside)',
    });
  });

  test('an address of the inside is refused for good; the tenant reads one sentence, the operator the reason', async () => {
    await subscribe(database.tenantA, 'metadata', ['#'], 'http://169.254.169.254/latest/meta-data/');
    start();
    await happen(database.tenantA, 'order.created');
    const [row] = await attemptsLogged(database.tenantA, 1);
    expect(row).toMatchObject({ status: 'failed', error_code: 'egress_refused', response_code: null });
    expect(row?.error_message).not.toMatch(/169|link-local/);
    expect((await queue())[0]).toMatchObject({ status: 'failed', waits_s: null });
    expect(lines.some((line) => String(line.fields.detail).includes('link-local'))).toBe(true);
  });

  test('after the last attempt the delivery is kept, and can be sent again with the same id; somebody is named for it', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    receiver.answer = (response) => response.writeHead(500).end();
    start();
    await happen(database.tenantA, 'order.created');
    await attemptsLogged(database.tenantA, 1);
    await database.admin.query('update plinth_webhooks.deliveries set attempts = 9, step = 9, due_at = clock_timestamp()');
    await attemptsLogged(database.tenantA, 2);
    const [dead] = await queue();
    expect(dead).toMatchObject({ status: 'failed', attempts: 10, waits_s: null });
    receiver.answer = (response) => response.writeHead(200).end();
    await expect(inTenant(database.tenantB, 'select plinth.resend_delivery($1)', [dead?.id])).rejects.toMatchObject({ code: 'webhooks_delivery_not_found' });
    await inTenant(database.tenantA, 'select plinth.resend_delivery($1)', [dead?.id]);
    const rows = await attemptsLogged(database.tenantA, 3);
    expect(rows.at(-1)).toMatchObject({ status: 'delivered', attempt_number: 1, webhook_id: dead?.id });
    expect(new Set(receiver.received.map((got) => got.id)).size).toBe(1);
    const audit = await inTenant<{ action: string }>(database.tenantA, `select action from plinth.audit_logs where entity_type = 'webhook_delivery'`);
    expect(audit).toEqual([{ action: 'webhooks.delivery_resent' }]);
  });
});

describe('receivers that are gone or failing', () => {
  const state = async (id: string) =>
    (
      await inTenant<{ enabled: boolean; failure_count: number; disabled_reason: string | null; failing_since: Date | null }>(
        database.tenantA,
        'select * from plinth.event_subscriptions where id = $1',
        [id],
      )
    )[0];

  test('410 Gone disables at once, and what waits stays', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    receiver.answer = (response) => response.writeHead(410).end();
    start({ perSubscription: 1, pollMs: 5000 });
    await happen(database.tenantA, 'order.created', 'order.paid');
    await until(async () => (await state(id))?.enabled === false, 'disabled');
    expect((await state(id))?.disabled_reason).toBe('the receiver answered 410 Gone');
    expect((await queue()).map((row) => row.status).sort()).toEqual(['failed', 'pending']);
    const seen = await until(
      async () =>
        (await inTenant<{ reason: string }>(database.tenantA, `select reason from plinth.audit_logs where action = 'webhooks.subscription_disabled'`))[0],
      'audit entry',
    );
    expect(seen.reason).toBe('the receiver answered 410 Gone');
    const told = await inTenant<{ payload: unknown }>(
      database.tenantA,
      `select payload from plinth.event_store where event_type = 'webhooks.subscription_disabled'`,
    );
    expect(told).toEqual([{ payload: { subscription_id: id, name: 'orders', reason: 'the receiver answered 410 Gone' } }]);
    await happen(database.tenantA, 'order.cancelled');
    expect(await queue()).toHaveLength(2);
    receiver.answer = (response) => response.writeHead(200).end();
    expect(await inTenant(database.tenantA, 'select plinth.enable_subscription($1) as waiting', [id])).toEqual([{ waiting: 1 }]);
    database.plinth.wake.signal(['webhooks.due']);
    await attemptsLogged(database.tenantA, 2);
  });

  test('failing is forgiven by one success, and disables only when it is often enough and long enough', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    let status = 500;
    receiver.answer = (response) => response.writeHead(status).end();
    start();
    await happen(database.tenantA, 'order.created');
    await attemptsLogged(database.tenantA, 1);
    expect(await state(id)).toMatchObject({ enabled: true, failure_count: 1 });
    await database.admin.query(`update plinth_webhooks.lanes set failure_count = 500`);
    await makeDue();
    await attemptsLogged(database.tenantA, 2);
    expect(await state(id)).toMatchObject({ enabled: true, failure_count: 501 });
    status = 200;
    // The breaker is open by now: its probe is what gets through.
    await makeDue();
    await attemptsLogged(database.tenantA, 3);
    expect(await state(id)).toMatchObject({ enabled: true, failure_count: 0, failing_since: null });
    status = 500;
    await database.admin.query(
      `update plinth_webhooks.lanes set failure_count = 19, failing_since = clock_timestamp() - interval '6 days', breaker = 'closed', next_at = null`,
    );
    await happen(database.tenantA, 'order.paid');
    await until(async () => (await state(id))?.enabled === false, 'disabled');
    expect((await state(id))?.disabled_reason).toMatch(/^every attempt failed since 20/);
    expect((await queue()).map((row) => row.status)).toEqual(['pending']);
  });

  test('a receiver that hangs does not hold up the others', async () => {
    await subscribe(database.tenantA, 'tarpit', ['#'], receiver.url.replace('/hook', '/tarpit'));
    const fast = await webhookReceiver();
    open.push(() => fast.close());
    await subscribe(database.tenantB, 'fast', ['#'], fast.url);
    receiver.answer = () => {};
    start({ concurrency: 12, perSubscription: 4, graceMs: 50 });
    await happen(database.tenantA, ...Array.from({ length: 100 }, () => 'order.created'));
    await receiver.waitFor(4);
    await happen(database.tenantB, ...Array.from({ length: 50 }, () => 'order.created'));
    await fast.waitFor(50);
    expect(receiver.received).toHaveLength(4);
  });
});

describe('workers that come and go', () => {
  test('what a dead worker had claimed is sent by another when its lease ends, and its late result counts for nothing', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    await happen(database.tenantA, 'order.created');
    const claim = (tenants: string) =>
      database.plinth.asWorker({}, (tx) =>
        tx.query<{ id: string; lease_id: string; tenant_id: string; subscription_id: string }>(
          `select * from plinth_webhooks.claim(10, 10, interval '${tenants}')`,
        ),
      );
    const [lost] = await claim('60 seconds');
    expect(await claim('60 seconds')).toEqual([]);
    await database.admin.query('update plinth_webhooks.flights set lease_until = clock_timestamp()');
    start();
    await attemptsLogged(database.tenantA, 1);
    const late = JSON.stringify([
      { tenant_id: lost?.tenant_id, id: lost?.id, subscription_id: lost?.subscription_id, lease_id: lost?.lease_id, outcome: 'failed', url: 'x' },
    ]);
    expect(await database.plinth.asWorker({}, (tx) => tx.query('select * from plinth_webhooks.settle($1)', [late]))).toEqual([]);
    expect(await log(database.tenantA)).toHaveLength(1);
    expect((await log(database.tenantA))[0]).toMatchObject({ status: 'delivered', attempt_number: 2 });
  });

  test('an orderly stop gives back what it had begun, and the attempt is not counted', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    receiver.answer = () => {};
    const part = start({ graceMs: 20 });
    await happen(database.tenantA, 'order.created');
    await receiver.waitFor(1);
    await part.stop();
    expect((await queue())[0]).toMatchObject({ status: 'pending', attempts: 0 });
    expect(await log(database.tenantA)).toEqual([]);
  });

  test('four dispatchers share a backlog without sending anything twice', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    await subscribe(database.tenantB, 'orders', ['#']);
    await happen(database.tenantA, ...Array.from({ length: 150 }, () => 'order.created'));
    await happen(database.tenantB, ...Array.from({ length: 150 }, () => 'order.created'));
    for (let i = 0; i < 4; i++) start({ concurrency: 16 });
    await until(async () => (await queue()).length === 0, 'the queue is empty');
    expect(receiver.received).toHaveLength(300);
    expect(new Set(receiver.received.map((got) => got.id)).size).toBe(300);
    expect(receiver.received.every((got) => got.verifiedBy.length === 1)).toBe(true);
  });
});

describe('during an attempt', () => {
  test('no transaction is open, however long the receiver takes', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    let go = (): void => {};
    receiver.answer = (response) => void (go = () => response.writeHead(200).end());
    start({ pollMs: 60_000, idleMs: 600_000 });
    await happen(database.tenantA, 'order.created');
    await receiver.waitFor(1);
    const { rows } = await database.admin.query<{ asked_at: Date }>('select clock_timestamp() as asked_at');
    // Of the worker; the pool of the test itself has no application name.
    const begunBefore = `select state, query from pg_stat_activity where datname = current_database() and application_name <> '' and backend_type = 'client backend' and xact_start <= $1`;
    await expect.poll(async () => (await database.admin.query(begunBefore, [rows[0]?.asked_at])).rows).toEqual([]);
    expect(receiver.received).toHaveLength(1);
    go();
    await attemptsLogged(database.tenantA, 1);
  });
});

describe('between polls', () => {
  test('a backlog is worked off as places become free, and what comes meanwhile is not left to the next poll', async () => {
    await subscribe(database.tenantA, 'orders', ['#']);
    await subscribe(database.tenantB, 'orders', ['#']);
    start({ pollMs: 60_000, concurrency: 4, perSubscription: 3 });
    for (let round = 0; round < 5; round++) {
      await happen(database.tenantA, ...Array.from({ length: 10 }, () => 'order.created'));
      await happen(database.tenantB, ...Array.from({ length: 10 }, () => 'order.created'));
    }
    await receiver.waitFor(100);
    await until(async () => (await queue()).length === 0, 'the queue is empty');
  });
});

test('no more bodies are under way than there is room for in bytes, and the next go out as they end', async () => {
  await subscribe(database.tenantA, 'orders', ['#']);
  const first = Promise.withResolvers<void>();
  receiver.answer = (response, _received, count) => void (count === 1 ? first.promise : Promise.resolve()).then(() => response.writeHead(204).end());
  await happen(database.tenantA, ...Array.from({ length: 5 }, () => 'order.created'));
  start({ pollMs: 60_000, bytes: 1 });
  await receiver.waitFor(1);
  expect((await database.admin.query('select from plinth_webhooks.flights')).rowCount).toBe(1);
  first.resolve();
  await receiver.waitFor(5);
});

describe('secrets', () => {
  test('during a rotation both secrets sign, afterwards only the new one, and the old one is forgotten', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    const [rotated] = await inTenant<{ secret: string }>(database.tenantA, `select plinth.rotate_subscription_secret($1, interval '1 hour') as secret`, [id]);
    receiver.secrets.push(rotated?.secret ?? '');
    start();
    await happen(database.tenantA, 'order.created');
    await receiver.waitFor(1);
    expect(receiver.received[0]?.signatures).toHaveLength(2);
    expect(receiver.received[0]?.verifiedBy).toEqual([0, 1]);
    await database.admin.query(`update plinth_webhooks.secrets set created_at = created_at - interval '2 hours'`);
    await happen(database.tenantA, 'order.paid');
    await receiver.waitFor(2);
    expect(receiver.received[1]?.verifiedBy).toEqual([1]);
    expect(await database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.forget_secrets() as n'))).toEqual([{ n: 1 }]);
    expect((await database.admin.query('select secret from plinth_webhooks.secrets')).rows).toEqual([rotated]);
  });
});

describe('an attempt that ends otherwise', () => {
  test('is in the log when its subscription was deleted meanwhile', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    let go = (): void => {};
    receiver.answer = (response) => void (go = () => response.writeHead(200).end('kept'));
    start();
    const [event] = await happen(database.tenantA, 'order.created');
    await receiver.waitFor(1);
    await inTenant(database.tenantA, 'select plinth.unsubscribe($1)', [id]);
    go();
    const [row] = await attemptsLogged(database.tenantA, 1);
    expect(row).toMatchObject({ status: 'delivered', attempt_number: 1, response_code: 200, response_body: 'kept', event_id: event });
    expect(row?.request_body).toBe(receiver.received[0]?.body);
    expect(lines.filter(({ message }) => message.includes('lease'))).toEqual([]);
  });

  test('is written without its result when the database refuses that, and what it was about is not tried again', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    const { id: other } = await subscribe(database.tenantA, 'neighbour', ['#']);
    // Kept from a time when it could be stored: a moment so long ago that there is none.
    await database.admin.query('alter table plinth_webhooks.subscriptions drop constraint subscriptions_disable_after_check');
    await database.admin.query(
      `update plinth_webhooks.subscriptions set disable_after = interval '6000000000000 s', disable_after_failures = 1 where id = $1`,
      [id],
    );
    receiver.answer = (response) => response.writeHead(500).end();
    start();
    await happen(database.tenantA, 'order.created');
    const rows = await attemptsLogged(database.tenantA, 2);
    expect(rows.map((row) => [row.status, row.error_code]).sort()).toEqual([
      ['failed', 'http_500'],
      ['failed', 'webhooks_result_refused'],
    ]);
    expect((await queue()).map((row) => [row.subscription_id === other, row.status]).sort()).toEqual([
      [false, 'failed'],
      [true, 'pending'],
    ]);
    const told = await until(async () => lines.find(({ fields }) => fields.code === 'webhooks_result_refused'), 'the operator is told');
    expect(told.fields).toMatchObject({
      subscription_id: id,
      tenant_id: database.tenantA,
      delivery_id: (await queue()).find((row) => row.subscription_id === id)?.id,
    });
  });

  test('and was delivered is not sent again when its result is refused; an ordered lane goes on', async () => {
    const { id } = await subscribe(database.tenantA, 'orders', ['#']);
    await inTenant(database.tenantA, `select plinth.set_delivery_policy($1, p_ordering => 'fifo')`, [id]);
    await database.admin.query('alter table plinth_webhooks.attempts add constraint no_teapot check (response_code <> 218) not valid');
    receiver.answer = (response, _received, count) => response.writeHead(count === 1 ? 218 : 200).end();
    start();
    await happen(database.tenantA, 'order.created', 'order.paid');
    const rows = await attemptsLogged(database.tenantA, 2);
    await database.admin.query('alter table plinth_webhooks.attempts drop constraint no_teapot');
    expect(rows.map((row) => [row.status, row.error_code, row.response_code])).toEqual([
      ['delivered', 'webhooks_result_refused', null],
      ['delivered', null, 200],
    ]);
    expect(receiver.received).toHaveLength(2);
    expect(await queue()).toEqual([]);
  });
});
