/** What subscriptions get: CloudEvents that others can read, and personal fields for those who may have them, as long as their subject is not erased. */
import type { CloudEventV1 } from 'cloudevents';
import { HTTP } from 'cloudevents';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import { eraseSubject, readCloudEvents, toCloudEvent } from '#modules/events';
import { dispatcher } from '#modules/webhooks';
import type { Received, WebhookReceiver } from '#testing/webhook-receiver.ts';
import { webhookReceiver } from '#testing/webhook-receiver.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';
import type { Pulled } from './webhooks-pull.fixture.ts';

const SUBSCRIPTIONS = '/api/v1/webhooks/subscriptions';
const keys = createKeyRing({ current: Buffer.alloc(32, 7).toString('base64') });
const egress = createEgress({ policy: developmentPolicy });
let server: TestServer;
let plinth: Plinth;
let receiver: WebhookReceiver;
let tenantA: string;
let part: { stop(): Promise<void> };
beforeAll(async () => {
  server = await testServer('webhooks_formats', { keys, adapters: { egress } });
  ({ tenantA } = server.database);
  plinth = createPlinth({ database: { url: server.database.serverUrl, max: 4 }, keys });
  const schema = { type: 'object', 'x-subject': '/customer', properties: { customer: { type: 'string' }, mail: { type: 'string', 'x-personal': true } } };
  for (const key of [server.keyA, server.keyB]) {
    const body = { schema, visibility: 'public', example: { customer: 'c', mail: 'a@example.com' } };
    expect((await server.call('/api/v1/event-types/customer.moved', { method: 'PUT', key, body })).status).toBe(200);
  }
});
afterAll(async () => {
  egress.close();
  await plinth.close();
  await server.close();
});
function dispatch(by: Plinth): { stop(): Promise<void> } {
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const runtime = { plinth: by, services: { clock: by.clock, log, adapters: { egress }, enabled: () => true }, wake: by.wake };
  return dispatcher({ pollMs: 50 })(runtime as unknown as WorkerRuntime);
}
beforeEach(async () => {
  await server.database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts cascade');
  receiver = await webhookReceiver();
  part = dispatch(plinth);
});
afterEach(async () => {
  await part.stop();
  await receiver.close();
});

const post = (path: string, body: unknown, key = server.keyA) => server.call(path, { method: 'POST', key, body });
async function subscribe(more: Record<string, unknown>, key = server.keyA): Promise<string> {
  const made = await post(SUBSCRIPTIONS, { name: `to ${Object.values(more).join(' ')}`.slice(0, 200), patterns: ['#'], url: receiver.url, ...more }, key);
  expect(made.status, made.text).toBe(200);
  const { id, secret } = made.body as { id: string; secret: string | null };
  if (secret !== null) receiver.secrets.push(secret);
  return id;
}
async function fanOut(): Promise<void> {
  const consumer = (plinth.modules as ModuleMap).webhooks?.consumers?.['fan-out'];
  if (!consumer) throw new Error('no fan-out');
  while ((await consumeOnce(plinth, 'webhooks.fan-out', consumer)) > 0);
}
/** Publishes in tenant A and waits for so many requests; returns the last. */
async function sent(count: number, type: string, data: Record<string, unknown>): Promise<Received> {
  await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.append({ type: 'order', id: 'ü 1/2' }, [{ type, data }]));
  await fanOut();
  await receiver.waitFor(count);
  const last = receiver.received.at(-1);
  if (!last) throw new Error('nothing came');
  return last;
}
/** The last event of tenant A as the functions of the module events make it a CloudEvent. */
async function expectedEvent(): Promise<Record<string, unknown>> {
  const [row] = await plinth.transaction({ tenantId: tenantA }, (tx) =>
    tx.query<{
      id: string;
      event_type: string;
      payload: Record<string, unknown>;
      event_version: number | null;
      aggregate_type: string;
      aggregate_id: string;
      version: string;
      metadata: Record<string, unknown>;
      correlation_id: string;
      causation_id: string | null;
      occurred_at: Date;
    }>('select * from plinth.event_store where aggregate_id is not null order by id desc limit 1'),
  );
  if (!row) throw new Error('no event');
  return toCloudEvent({
    tenantId: tenantA,
    id: row.id,
    type: row.event_type,
    data: row.payload,
    schemaVersion: row.event_version,
    stream: { type: row.aggregate_type, id: row.aggregate_id },
    version: Number(row.version),
    metadata: row.metadata,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    occurredAt: row.occurred_at,
  });
}

describe('CloudEvents', () => {
  test.each(['cloudevents-structured', 'cloudevents-binary'] as const)('%s is read by the SDK, and the signature covers what was sent', async (format) => {
    const id = await subscribe({ format });
    const got = await sent(1, 'order.placed', { total: 3, text: 'zwölf' });
    expect(got.verifiedBy).toEqual([0]);
    const headers = got.headers as Record<string, string>;
    const read = HTTP.toEvent({ headers, body: got.body }) as CloudEventV1<unknown>;
    const expected = await expectedEvent();
    const { id: eventId, source, type, time, data } = expected;
    expect(read).toMatchObject({ id: eventId, source, type, time, data });
    // The SDK leaves the percent encoding of headers, which the binding asks for, as it is.
    expect(readCloudEvents(new Headers(headers), JSON.parse(got.body))).toEqual([expected]);
    expect(got.headers['webhook-id']).not.toBe(read.id);
    const [logged] = await plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query<{ request_body: string }>('select request_body from plinth.event_delivery_log'),
    );
    expect(logged?.request_body ?? got.body).toBe(got.body);
    await post(`${SUBSCRIPTIONS}/${id}/test`, {});
    await receiver.waitFor(2);
    const tested = receiver.received[1];
    expect(HTTP.toEvent({ headers: tested?.headers as Record<string, string>, body: tested?.body ?? '' })).toMatchObject({ type: 'webhooks.test' });
  });

  test('numbers that do not fit, extensions that came in, and transforms reach the receiver', async () => {
    await subscribe({ format: 'cloudevents-binary', transform: { set: { 'data.shop': 'Basel' }, omit: ['data.secret'] } });
    const metadata = {
      cloudevents: { id: 'their-id', source: 'https://their.example', tenant: 't 1', rank: 7, wrong_name: 'x', partitionkey: 'own' },
      traceparent: '00-a-b-01',
    };
    await plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(`select plinth.publish_event(p_event_type := 'order.placed', p_payload := '{"n": 12345678901234567890, "secret": 1}', p_metadata := $1)`, [
        JSON.stringify(metadata),
      ]),
    );
    await fanOut();
    await receiver.waitFor(1);
    const [got] = receiver.received;
    expect(got?.body).toContain('12345678901234567890');
    expect(got?.headers).toMatchObject({
      'ce-id': 'their-id',
      'ce-source': 'https://their.example',
      'ce-tenant': 't%201',
      'ce-rank': '7',
      'ce-partitionkey': 'own',
      'ce-traceparent': '00-a-b-01',
    });
    expect(got?.headers).not.toHaveProperty('ce-wrong_name');
    expect(JSON.parse(got?.body ?? '')).toMatchObject({ shop: 'Basel' });
    expect(got?.body).not.toContain('secret');
  });

  test('a format that is none, or that has no place in what is pulled, is refused; a preview shows the format', async () => {
    expect(await post(SUBSCRIPTIONS, { name: 'x', patterns: ['#'], mode: 'pull', format: 'cloudevents-binary' })).toMatchObject({
      status: 400,
      body: { code: 'webhooks_format_invalid' },
    });
    const bad = plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.subscribe('y', '{#}', 'https://example.com/', p_format => 'xml')`));
    await expect(bad).rejects.toMatchObject({ code: 'webhooks_format_invalid' });
    const preview = await post('/api/v1/webhooks/preview', { patterns: ['order.#'], format: 'cloudevents-structured', limit: 1 });
    const [event] = (preview.body as { events: { body: string }[] }).events;
    expect(JSON.parse(event?.body ?? '')).toMatchObject({ specversion: '1.0', type: 'order.placed' });
  });
});

describe('personal fields', () => {
  const DATA = { customer: 'c-17', mail: 'ana@example.com' };
  const dataOf = (received: Received): Record<string, unknown> => received.data.data;

  test('stay encrypted unless a subscription has them revealed; nothing that is stored or logged shows them', async () => {
    await subscribe({ name: 'closed' });
    await subscribe({ name: 'open', reveal: true });
    await subscribe({ name: 'open cloud', reveal: true, format: 'cloudevents-binary' });
    await sent(3, 'customer.moved', DATA);
    const by = (secret: number) => receiver.received.find(({ verifiedBy }) => verifiedBy.includes(secret));
    expect(dataOf(by(0) as Received)).toMatchObject({ customer: 'c-17', mail: { $encrypted: expect.any(String) } });
    expect(dataOf(by(1) as Received)).toEqual(DATA);
    expect(JSON.parse(by(2)?.body ?? '')).toEqual(DATA);
    const stored =
      await server.database.admin.query(`select body as text from plinth_webhooks.deliveries union all select a::text from plinth_webhooks.attempts a
      union all select a::text from plinth_audit.entries a`);
    expect(stored.rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(stored.rows)).not.toContain('ana@example.com');
    const preview = await post('/api/v1/webhooks/preview', { patterns: ['customer.#'] });
    expect(preview.text).not.toContain('ana@example.com');
    const audited = await server.database.admin.query(
      `select count(*)::integer as n from plinth_audit.entries where action = 'webhooks.personal_fields_revealed' and tenant_id = $1`,
      [tenantA],
    );
    expect(audited.rows[0].n).toBeGreaterThanOrEqual(2);
  });

  test('are not kept of an answer that repeats them, in its body, its headers or where it redirects to', async () => {
    const id = await subscribe({ reveal: true });
    receiver.answer = (response, got) =>
      response.writeHead(302, { location: `/?mail=${String(dataOf(got).mail)}`, 'x-mail': String(dataOf(got).mail), 'retry-after': '3600' }).end(got.body);
    await sent(1, 'customer.moved', { customer: 'c-20', mail: 'echo@example.com' });
    const log = async () =>
      (
        await server.database.admin.query(
          'select response_body, response_headers, a::text as text from plinth_webhooks.attempts a where subscription_id = $1',
          [id],
        )
      ).rows;
    await expect.poll(log).toHaveLength(1);
    const [row] = await log();
    expect(row.text).not.toContain('echo@example.com');
    expect(row.response_body).toContain('not kept');
    expect(row.response_headers).toMatchObject({ 'x-mail': '(not kept)', location: '(not kept)', 'retry-after': '3600' });
    // Of a message without personal fields the answer is kept as ever.
    receiver.answer = (response) => response.writeHead(200).end('thanks');
    await sent(2, 'customer.moved', { customer: 'c-20' });
    await expect.poll(async () => (await log()).map((one) => one.response_body)).toContain('thanks');
  });

  test('after the subject was erased the tombstone is sent, also of what waited', async () => {
    const id = await subscribe({ reveal: true });
    expect(dataOf(await sent(1, 'customer.moved', { customer: 'c-18', mail: 'bob@example.com' }))).toMatchObject({ mail: 'bob@example.com' });
    // A replay leaves alone what is still on its way.
    const waiting = async () => (await server.database.admin.query('select from plinth_webhooks.deliveries')).rowCount ?? 0;
    const settled = performance.now() + 25_000;
    while ((await waiting()) > 0 && performance.now() < settled) await plinth.wake.next([], 20);
    await plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: 'c-18', reason: 'asked for' }));
    await post(`${SUBSCRIPTIONS}/${id}/replays`, { since: '2020-01-01T00:00:00Z', patterns: ['customer.moved'] });
    await plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.work_replays()'));
    const moved = () => receiver.received.filter((got) => dataOf(got).customer === 'c-18');
    const end = performance.now() + 25_000;
    while (moved().length < 2 && performance.now() < end) await plinth.wake.next([], 20);
    expect(moved()[1]?.data.data).toMatchObject({ mail: { $shredded: true } });
    expect(moved()[1]?.id).toBe(moved()[0]?.id);
  });

  test('a process without the key sends nothing rather than something else', async () => {
    await part.stop();
    const other = createPlinth({
      database: { url: server.database.serverUrl, max: 2 },
      keys: createKeyRing({ current: Buffer.alloc(32, 9).toString('base64') }),
    });
    part = dispatch(other);
    try {
      await subscribe({ reveal: true, patterns: ['customer.moved'] });
      await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('customer.moved', { customer: 'c-19', mail: 'eve@example.com' }));
      await fanOut();
      const failed = async () => (await server.database.admin.query('select error_code from plinth_webhooks.attempts')).rows as { error_code: string }[];
      const end = performance.now() + 25_000;
      while ((await failed()).length === 0 && performance.now() < end) await plinth.wake.next([], 20);
      expect((await failed())[0]?.error_code).toBe('events_key_missing');
      expect(receiver.received).toEqual([]);
    } finally {
      await part.stop();
      await other.close();
      part = dispatch(plinth);
    }
  });

  test('revealing asks for webhooks.reveal, and so does sending elsewhere what is revealed; the portal can do neither', async () => {
    const { secret: writer } = await server.makeKey(tenantA, ['webhooks.write', 'webhooks.read', 'webhooks.pull']);
    const forbidden = { status: 403, body: { code: 'kernel_forbidden' } };
    const patch = (id: string, body: unknown, key: string) => server.call(`${SUBSCRIPTIONS}/${id}`, { method: 'PATCH', key, body });
    expect(await post(SUBSCRIPTIONS, { name: 'mine', patterns: ['#'], url: receiver.url, reveal: true }, writer)).toMatchObject(forbidden);
    const id = await subscribe({ name: 'theirs', reveal: true });
    expect(await patch(id, { url: 'https://elsewhere.example.com/' }, writer)).toMatchObject(forbidden);
    expect(await patch(id, { transform: { omit: [] } }, writer)).toMatchObject(forbidden);
    expect((await patch(id, { description: 'a note' }, writer)).status).toBe(200);
    const { token } = (await post('/api/v1/webhooks/portal-links', { capabilities: 'manage' })).body as { token: string };
    const portal = (body: unknown) => server.call(`/api/v1/webhooks/portal/endpoints/${id}`, { method: 'PATCH', key: token, body });
    expect(await portal({ url: 'https://elsewhere.example.com/' })).toMatchObject(forbidden);
    expect((await portal({ name: 'renamed' })).status).toBe(200);
    expect((await patch(id, { reveal: false, url: 'https://elsewhere.example.com/' }, writer)).body).toMatchObject({ reveal: false });
  });

  test('what is pulled shows them to readers with webhooks.reveal only, and never through the portal', async () => {
    const made = await post(SUBSCRIPTIONS, { name: 'pulled', patterns: ['customer.#'], mode: 'pull', reveal: true });
    const { id } = made.body as { id: string };
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('customer.moved', { customer: 'c-20', mail: 'zoe@example.com' }));
    await fanOut();
    await plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.append_pulled()'));
    const read = async (path: string, key: string) =>
      ((await server.call(path, { key })).body as Pulled[]).find(({ body }) => body.data.customer === 'c-20')?.body.data.mail;
    const { secret: reader } = await server.makeKey(tenantA, ['webhooks.pull']);
    const { token } = (await post('/api/v1/webhooks/portal-links', { capabilities: 'manage' })).body as { token: string };
    expect(await read(`/api/v1/durable/webhooks/${id}`, server.keyA)).toBe('zoe@example.com');
    expect(await read(`/api/v1/durable/webhooks/${id}`, reader)).toEqual({ $encrypted: expect.any(String) });
    expect(await read(`/api/v1/webhooks/portal/endpoints/${id}/messages`, token)).toEqual({ $encrypted: expect.any(String) });
    await plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: 'c-20', reason: 'asked for' }));
    expect(await read(`/api/v1/durable/webhooks/${id}`, server.keyA)).toEqual({ $shredded: true });
    expect((await server.call(`/api/v1/durable/webhooks/${id}`, { key: server.keyB })).status).toBe(404);
  });
});
