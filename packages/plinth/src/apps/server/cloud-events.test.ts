/** CloudEvents over the real handler: each mode in and out, duplicates, conflicts, two tenants. */
import { CloudEvent, HTTP } from 'cloudevents';
import { afterAll, expect, test } from 'vitest';
import type { CallOptions } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const server = await testServer('cloud events');
afterAll(() => server.close());

const address = '/api/v1/events/cloudevents';
const post = async (mode: 'structured' | 'binary', event: CloudEvent<unknown>, options: CallOptions = {}, query = '') => {
  const { headers, body } = HTTP[mode](event);
  return server.call(`${address}${query}`, {
    method: 'POST',
    key: server.keyA,
    body: body as string,
    ...options,
    headers: { ...(headers as Record<string, string>), ...options.headers },
  });
};
interface Ingested {
  events: { source: string; id: string; event_id: string; duplicate: boolean }[];
}

test('come in structured, binary and batched, once each, and go out as a batch', async () => {
  const one = new CloudEvent({
    id: '1',
    source: '/shop',
    type: 'order.created',
    subject: 'order/4711',
    time: '2026-01-02T03:04:05.000Z',
    data: { total: 5 },
    comexampleext: 'x',
  });
  const first = await post('structured', one);
  expect(first).toMatchObject({ status: 200, body: { events: [{ source: '/shop', id: '1', duplicate: false }] } });
  const again = await post('binary', one);
  expect(again.body).toEqual({ events: [{ ...(first.body as Ingested).events[0], duplicate: true }] });
  expect(await post('structured', one.cloneWith({ data: { total: 6 } }))).toMatchObject({ status: 409, body: { code: 'events_idempotency_conflict' } });
  expect(await post('structured', one, { key: server.keyB })).toMatchObject({ status: 200, body: { events: [{ duplicate: false }] } });

  const batch = await server.call(address, {
    method: 'POST',
    key: server.keyA,
    headers: { 'content-type': 'application/cloudevents-batch+json' },
    body: [
      { specversion: '1.0', id: '2', source: '/shop', type: 'order.paid' },
      JSON.parse(JSON.stringify(one)),
      { specversion: '1.0', id: '2', source: '/shop', type: 'order.paid' },
    ],
  });
  expect((batch.body as Ingested).events.map(({ id, duplicate }) => [id, duplicate])).toEqual([
    ['2', false],
    ['1', true],
    ['2', true],
  ]);

  const page = await server.call(`${address}?limit=1`, { key: server.keyA, headers: { accept: 'application/cloudevents-batch+json' } });
  expect(page.headers.get('content-type')).toContain('application/cloudevents-batch+json');
  const [out] = HTTP.toEvent({ headers: Object.fromEntries(page.headers), body: page.text }) as CloudEvent<unknown>[];
  expect(out).toMatchObject({
    id: '1',
    source: '/shop',
    type: 'order.created',
    subject: 'order/4711',
    time: '2026-01-02T03:04:05.000Z',
    comexampleext: 'x',
    data: { total: 5 },
  });
  const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  const rest = await server.call(next.replace('limit=1', 'limit=100'), { key: server.keyA });
  expect(rest.body).toMatchObject({ events: [{ id: '2', type: 'order.paid', data: {} }], next: null });
  expect((await server.call(address, { key: server.keyB })).body).toMatchObject({ events: [{ id: '1' }] });
});

test('with stream=subject are appended to the stream, correlated, and numbered on the way out', async () => {
  const correlationid = '018f0000-0000-7000-8000-0000000000cc';
  const event = new CloudEvent({
    id: 's1',
    source: '/shop',
    type: 'order.shipped',
    subject: 'order/9',
    correlationid,
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    data: {},
  });
  expect(await post('binary', event, {}, '?stream=subject')).toMatchObject({ status: 200 });
  expect((await server.call('/api/v1/events/streams/order/9', { key: server.keyA })).body).toMatchObject({
    events: [{ version: 1, event_type: 'order.shipped', correlation_id: correlationid }],
  });
  const out = await server.call(`${address}?type=order.shipped`, { key: server.keyA });
  expect(out.body).toMatchObject({
    events: [{ subject: 'order/9', partitionkey: 'order/9', sequence: '00000000000000000001', correlationid, traceparent: event.traceparent }],
  });
});

test('of a batch that is refused are told which it was, whatever is wrong with it, and nothing of the batch is kept', async () => {
  await server.call('/api/v1/event-types/batch.typed', { method: 'PUT', key: server.keyA, body: { schema: { type: 'object', required: ['n'] } } });
  const of = (id: string, more: object = {}) => ({ specversion: '1.0', id, source: '/batch', type: 'batch.one', data: {}, ...more });
  const batch = (events: object[], key = server.keyA) =>
    server.call(address, { method: 'POST', key, headers: { 'content-type': 'application/cloudevents-batch+json' }, body: events });
  expect(await batch([of('known')])).toMatchObject({ status: 200 });
  for (const [bad, code] of [
    [of('b', { time: 'yesterday' }), 'events_cloud_event_invalid'],
    [of('b', { data: 5 }), 'events_cloud_event_invalid'],
    [of('b', { type: 'events.subject_erased' }), 'events_cloud_event_invalid'],
    [of('b', { type: 'not a type' }), 'events_event_invalid'],
    [of('b', { type: 'batch.typed' }), 'events_payload_rejected'],
    [of('b', { dataschema: 'urn:plinth:event-type:batch.one:9' }), 'events_type_unknown'],
    [of('known', { data: { other: true } }), 'events_idempotency_conflict'],
    [of('a', { data: { other: true } }), 'events_idempotency_conflict'],
  ] as const) {
    const answer = await batch([of('a'), bad, of('c', { type: 'batch.typed', data: { n: 1 } })]);
    expect([answer.status >= 400, answer.body]).toMatchObject([true, { code, event_index: 1, title: expect.stringMatching(/[Ee]vent 2 of 3/) }]);
  }
  expect((await server.call(`${address}?type=batch.one`, { key: server.keyA })).body).toMatchObject({ events: [{ id: 'known' }] });
  expect(await batch([of('a', { data: { other: true } })], server.keyB)).toMatchObject({ status: 200 });
  expect((await batch([of('alone', { time: 'yesterday' })])).body).not.toHaveProperty('event_index');
});

test('that are not valid, too many, too long or not allowed are refused, and nothing of their batch is kept', async () => {
  const raw = (type: string, body: unknown, key = server.keyA) => server.call(address, { method: 'POST', key, headers: { 'content-type': type }, body });
  const fine = { specversion: '1.0', id: 'r1', source: '/r', type: 'refused.one' };
  expect(await post('binary', new CloudEvent({ ...fine, subject: 'no-stream', data: {} }), {}, '?stream=subject')).toMatchObject({
    status: 422,
    body: { code: 'events_cloud_event_invalid', attribute: 'subject' },
  });
  expect(await raw('application/cloudevents-batch+json', [fine, { ...fine, id: 'r2', type: 'not a type' }])).toMatchObject({
    status: 422,
    body: { code: 'events_event_invalid', event_index: 1 },
  });
  expect(await raw('application/cloudevents+json', { ...fine, specversion: '0.3' })).toMatchObject({
    status: 422,
    body: { code: 'events_cloud_event_invalid' },
  });
  // The JSON Batch Format calls it valid in a request, too.
  expect(await raw('application/cloudevents-batch+json', [])).toMatchObject({ status: 200, body: { events: [] } });
  expect(await raw('application/cloudevents+json', 'no json')).toMatchObject({ status: 400, body: { code: 'kernel_malformed_body' } });
  expect(await raw('text/plain', 'hello')).toMatchObject({ status: 415 });
  expect(await raw('application/cloudevents+json', fine, '')).toMatchObject({ status: 401 });
  expect((await server.call(address, { method: 'DELETE', key: server.keyA })).status).toBe(405);
  const reader = await server.makeKey(server.database.tenantA, ['events.read']);
  expect(await raw('application/cloudevents+json', fine, reader.secret)).toMatchObject({ status: 403 });
  expect((await server.call(`${address}?type=refused.one`, { key: server.keyA })).body).toMatchObject({ events: [] });
  expect(await raw('application/json', { events: [fine] })).toMatchObject({ status: 200 });
});
