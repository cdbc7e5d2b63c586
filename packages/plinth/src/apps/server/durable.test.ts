/** Durable streams over HTTP beyond the protocol's own suite: who may, events of an aggregate, bad input. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('durable_http', { durableStreams: { longPollMs: 10_000 } });
});
afterAll(() => server.close());

const put = (path: string, key = server.keyA) =>
  server.call(`/api/v1/streams/${path}`, { method: 'PUT', key, body: 'first', headers: { 'content-type': 'text/plain' } });
const append = (id: string, ...numbers: number[]) =>
  server.database.plinth.transaction(
    { tenantId: server.database.tenantA },
    async (tx) =>
      void tx.events.append(
        { type: 'order', id },
        numbers.map((n) => ({ type: 'order.changed', data: { n } })),
      ),
  );
const numbersIn = (body: unknown): number[] => (body as { payload: { n: number } }[]).map(({ payload }) => payload.n);

test('a stream belongs to its tenant', async () => {
  expect((await put('mine')).status).toBe(201);
  expect(await server.call('/api/v1/streams/mine', { key: server.keyB })).toMatchObject({ status: 404, body: { code: 'streams_stream_not_found' } });
  expect((await put('mine', server.keyB)).status).toBe(201);
  await server.call('/api/v1/streams/mine', { method: 'POST', key: server.keyB, body: ' of b', headers: { 'content-type': 'text/plain' } });
  expect([
    (await server.call('/api/v1/streams/mine', { key: server.keyA })).text,
    (await server.call('/api/v1/streams/mine', { key: server.keyB })).text,
  ]).toEqual(['first', 'first of b']);
});

test('a stream that says it is HTML is shown in a sandbox: no script, no form and no refresh of it does anything at the origin of the console', async () => {
  const page =
    '<meta http-equiv="refresh" content="0;url=https://evil.example"><form action="https://evil.example"><button>Sign in</button></form><script>alert(1)</script>';
  await server.call('/api/v1/streams/page', { method: 'PUT', key: server.keyA, body: page, headers: { 'content-type': 'text/html' } });
  const { headers, text } = await server.call('/api/v1/streams/page', { key: server.keyA });
  expect([headers.get('content-type'), text]).toEqual(['text/html', page]);
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  const policy = headers.get('content-security-policy')?.split('; ');
  expect(policy).toEqual(expect.arrayContaining(["default-src 'none'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'", 'sandbox']));
});

test('a reader that is ahead of the stream, because it was made anew or restored, is told instead of waiting until what it misses has passed', async () => {
  await put('restored');
  const lost = (await server.call('/api/v1/streams/restored', { method: 'POST', key: server.keyA, body: 'lost', headers: { 'content-type': 'text/plain' } }))
    .headers;
  const offset = lost.get('stream-next-offset') ?? '';
  const asked = (live: string) => server.call(`/api/v1/streams/restored?offset=${offset}${live}`, { key: server.keyA });
  expect((await asked('')).status).toBe(200);
  await server.call('/api/v1/streams/restored', { method: 'DELETE', key: server.keyA });
  await put('restored');
  for (const live of ['', '&live=long-poll', '&live=sse'])
    expect(await asked(live)).toMatchObject({ status: 410, body: { code: 'streams_offset_gone', tail: '5' } });
  await append('restored', 1);
  const events = await server.call('/api/v1/durable/events/order/restored?offset=0000000000000000_0000000000000002', { key: server.keyA });
  expect(events).toMatchObject({ status: 410, body: { code: 'streams_offset_gone' } });
});

test('what a browser kept for one tenant is not taken for what another one has under the same address', async () => {
  const { plinth, tenantA, tenantB } = server.database;
  for (const [tenantId, owner] of [
    [tenantA, 'a'],
    [tenantB, 'b'],
  ] as const)
    await plinth.transaction({ tenantId }, async (tx) => void tx.events.append({ type: 'order', id: 'of both' }, [{ type: 'order.made', data: { owner } }]));
  const read = (key: string, headers: Record<string, string> = {}) => server.call('/api/v1/durable/events/order/of%20both', { key, headers });
  const first = await read(server.keyA);
  expect(first.headers.get('vary')).toBe('Authorization, Cookie, X-Plinth-Tenant, X-Plinth-Portal');
  const kept = { 'if-none-match': first.headers.get('etag') ?? '' };
  expect((await read(server.keyA, kept)).status).toBe(304);
  expect(await read(server.keyB, kept)).toMatchObject({ status: 200, body: [{ payload: { owner: 'b' } }] });
});

test('streams are listed by path, each tenant its own', async () => {
  for (const path of ['listed/a', 'listed/b', 'listed/c']) await put(path);
  const page = await server.call('/api/v1/durable-streams?prefix=listed/&limit=2', { key: server.keyA });
  expect(page.body).toMatchObject({ streams: [{ path: 'listed/a', tail: '5' }, { path: 'listed/b' }], next: 'listed/b' });
  expect((await server.call('/api/v1/durable-streams?prefix=listed/&after=listed/b', { key: server.keyA })).body).toMatchObject({
    streams: [{ path: 'listed/c' }],
    next: null,
  });
  expect((await server.call('/api/v1/durable-streams?prefix=listed/', { key: server.keyB })).body).toMatchObject({ streams: [] });
});

describe('who may', () => {
  test('nobody without a credential, and with streams.read only read', async () => {
    await put('guarded');
    expect((await server.call('/api/v1/streams/guarded')).status).toBe(401);
    const { secret } = await server.makeKey(server.database.tenantA, ['streams.read']);
    expect((await server.call('/api/v1/streams/guarded', { key: secret })).text).toBe('first');
    expect(await put('guarded', secret)).toMatchObject({ status: 403, body: { code: 'kernel_forbidden' } });
    expect(await server.call('/api/v1/durable/events/order/1', { key: secret })).toMatchObject({ status: 403 });
  });
});

describe('the events of an aggregate', () => {
  test('are read by versions, from where a reader was, also while it waits', async () => {
    await append('o 1', 1, 2, 3);
    const address = '/api/v1/durable/events/order/o%201';
    const all = await server.call(address, { key: server.keyA });
    expect(numbersIn(all.body)).toEqual([1, 2, 3]);
    expect(all.headers.get('stream-up-to-date')).toBe('true');
    const next = all.headers.get('stream-next-offset') ?? '';
    const waiting = server.call(`${address}?offset=${next}&live=long-poll`, { key: server.keyA });
    await append('o 1', 4);
    expect(numbersIn((await waiting).body)).toEqual([4]);
    expect((await server.call(address, { method: 'HEAD', key: server.keyA })).headers.get('stream-next-offset')).toMatch(/_0{15}4$/);
    expect(await server.call(address, { key: server.keyB })).toMatchObject({ status: 404, body: { code: 'events_event_not_found' } });
  });
});

test.each([
  ['two offsets', '?offset=-1&offset=now'],
  ['an offset that is none', '?offset=abc'],
  ['live without an offset', '?live=sse'],
])('%s: a documented error', async (_what, query) => {
  await put('input');
  expect(await server.call(`/api/v1/streams/input${query}`, { key: server.keyA })).toMatchObject({ status: 400, body: { code: 'streams_request_invalid' } });
});

test('a method that is none of the protocol names those that are', async () => {
  const answer = await server.call('/api/v1/streams/input', { method: 'PATCH', key: server.keyA });
  expect(answer).toMatchObject({ status: 405 });
  expect(answer.headers.get('allow')).toContain('PUT');
  // What is only read: nobody appends to the events of an aggregate, nor to the messages of a subscription, by the protocol.
  for (const address of ['durable/events/order/1', `durable/webhooks/${server.database.tenantA}`])
    for (const method of ['PUT', 'POST', 'DELETE']) {
      const refused = await server.call(`/api/v1/${address}`, { method, key: server.keyA, body: {} });
      expect([refused.status, refused.headers.get('allow')], `${method} ${address}`).toEqual([405, 'GET, HEAD']);
    }
});
