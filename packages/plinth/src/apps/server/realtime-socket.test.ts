/** /realtime as a WebSocket: the same frames, the same rights. */
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Listening, Told } from './realtime.fixture.ts';
import { addressOf, eventually, listening } from './realtime.fixture.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SECRET = 'a secret of at least thirty-two bytes';
let server: TestServer;
let http: Listening;
beforeAll(async () => {
  server = await testServer('realtime_socket', {
    auth: { jwt: { secret: SECRET }, cacheMs: 0 },
    realtime: { heartbeatMs: 300, checkMs: 500, mostPerTenant: 20, bufferBytes: 256 * 1024 },
  });
  http = await listening(server);
});
afterAll(async () => {
  server.handler.endStreams();
  await http.close();
  await server.close();
});

interface Opened {
  socket: WebSocket;
  told: Told[];
  closed: Promise<number>;
  until(ready: (told: Told[]) => boolean, what: string): Promise<void>;
  numbers(): number[];
}

async function open(options: {
  key?: string;
  topics?: string[];
  offset?: string | undefined;
  headers?: Record<string, string>;
  protocols?: string[];
}): Promise<Opened> {
  const { key, headers } = options;
  const address = `${http.origin.replace('http', 'ws')}${addressOf(options)}`;
  const socket = new WebSocket(address, options.protocols ?? ['plinth.realtime'], {
    headers: { ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers },
  });
  const told: Told[] = [];
  socket.on('message', (data) => void told.push(JSON.parse(String(data)) as Told));
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  await new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', resolve);
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => reject(Object.assign(new Error('refused'), { status: response.statusCode, body: JSON.parse(text) as unknown })));
    });
  });
  return {
    socket,
    told,
    closed,
    until: (ready, what) => eventually(() => ready(told), `${what}; told so far ${JSON.stringify(told.slice(-3))}`),
    numbers: () => told.filter(({ event }) => event === 'event').map(({ data }) => (data.payload as { n: number }).n),
  };
}

const publish = (tenantId: string, type: string, ...numbers: number[]) =>
  server.database.plinth.transaction({ tenantId }, async (tx) => void numbers.map((n) => tx.events.publish(type, { n })));

test('tells the frames that Server-Sent Events tell, of this tenant alone, and takes up the offset of either', async () => {
  const { tenantA, tenantB } = server.database;
  const [socket, stream] = await Promise.all([
    open({ key: server.keyA, topics: ['events/same.#'] }),
    http.listen({ key: server.keyA, topics: ['events/same.#'] }),
  ]);
  await socket.until((told) => told.some(({ event }) => event === 'ready'), 'the socket is ready');
  await publish(tenantB, 'same', 9);
  await publish(tenantA, 'same', 1, 2, 3);
  await publish(tenantA, 'same.too', 4);
  await stream.until(({ numbers }) => numbers.length === 4);
  await socket.until(() => socket.numbers().length === 4, 'the socket was told all');
  const events = (told: Told[]) => told.filter(({ event }) => event === 'event');
  expect(events(socket.told)).toEqual(events(stream.told));
  const [, second] = events(socket.told);
  const [again, streamAgain] = await Promise.all([
    open({ key: server.keyA, topics: ['events/same.#'], offset: events(stream.told)[1]?.id }),
    http.listen({ key: server.keyA, topics: ['events/same.#'], offset: second?.id }),
  ]);
  await again.until(() => again.numbers().length === 2, 'the rest');
  await streamAgain.until(({ numbers }) => numbers.length === 2);
  expect([again.numbers(), streamAgain.numbers]).toEqual([
    [3, 4],
    [3, 4],
  ]);
  for (const one of [socket, again]) one.socket.close();
  stream.close();
  streamAgain.close();
});

test('topics come and go while it is open, and a wrong one is told without ending it', async () => {
  const { tenantA } = server.database;
  const one = await open({ key: server.keyA, topics: ['events/first'] });
  await one.until((told) => told.length > 0, 'ready');
  one.socket.send(JSON.stringify({ subscribe: ['events/second', 'stream/order/1'] }));
  await one.until((told) => told.some(({ event }) => event === 'subscribed'), 'subscribed');
  // Not the last of all, which may be a sign of life.
  expect(one.told.findLast(({ event }) => event === 'subscribed')?.data.topics).toEqual(['events/first', 'events/second', 'stream/order/1']);
  await publish(tenantA, 'second', 1);
  await one.until(() => one.numbers().length === 1, 'the new topic is heard');
  one.socket.send(JSON.stringify({ unsubscribe: ['events/second'] }));
  await one.until((told) => told.filter(({ event }) => event === 'subscribed').length === 2, 'unsubscribed');
  await publish(tenantA, 'second', 2);
  await publish(tenantA, 'first', 3);
  await one.until(() => one.numbers().length === 2, 'the old topic is heard');
  expect(one.numbers()).toEqual([1, 3]);
  for (const bad of ['{', '{"subscribe": ["orders"]}', '{"publish": 1}', JSON.stringify({ unsubscribe: ['events/first', 'stream/order/1'] })])
    one.socket.send(bad);
  await one.until((told) => told.filter(({ event }) => event === 'failure').length === 4, 'the faults are told');
  expect(one.told.filter(({ event }) => event === 'failure').map(({ data }) => data.code)).toEqual([
    'kernel_malformed_body',
    'kernel_topic_invalid',
    'kernel_invalid_input',
    'kernel_topic_invalid',
  ]);
  one.socket.close();
});

test('a browser sends its token as a protocol', async () => {
  const one = await open({ protocols: ['plinth.realtime', `plinth.bearer.${server.keyA}`] });
  await one.until((told) => told.some(({ event }) => event === 'ready'), 'ready');
  expect(one.socket.protocol).toBe('plinth.realtime');
  one.socket.close();
});

test('a JWT offered as a protocol, as a back end makes one for a page, is heard until it has expired, which is told', async () => {
  const signed = (expiresS: number): Promise<string> =>
    new SignJWT({ tenant_id: server.database.tenantA, roles: ['viewer'] })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('ana')
      .setExpirationTime(Math.floor(Date.now() / 1000) + expiresS)
      .sign(new TextEncoder().encode(SECRET));
  // Clocks may differ by a minute: this one is over in some seconds.
  const one = await open({ protocols: ['plinth.realtime', `plinth.bearer.${await signed(-54)}`], topics: ['events/jwt'] });
  await one.until((told) => told.some(({ event }) => event === 'ready'), 'ready');
  await publish(server.database.tenantB, 'jwt', 9);
  await publish(server.database.tenantA, 'jwt', 1);
  await one.closed;
  expect(one.numbers()).toEqual([1]);
  expect(one.told.at(-1)).toMatchObject({ event: 'failure', data: { status: 401 } });
  const offset = one.told.find(({ event }) => event === 'event')?.id;
  await publish(server.database.tenantA, 'jwt', 2);
  const again = await open({ protocols: ['plinth.realtime', `plinth.bearer.${await signed(60)}`], topics: ['events/jwt'], offset });
  await again.until(() => again.numbers().length === 1, 'what happened in between');
  expect(again.numbers()).toEqual([2]);
  again.socket.close();
  await expect(open({ protocols: ['plinth.realtime', `plinth.bearer.${await signed(-61)}`] })).rejects.toMatchObject({ status: 401 });
});

test('a session of the console counts only for pages of the console', async () => {
  const login = await fetch(`${http.origin}/api/v1/console/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: http.origin },
    body: JSON.stringify({ key: server.keyA }),
  });
  const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? '';
  const own = await open({ headers: { cookie, origin: http.origin } });
  await own.until((told) => told.some(({ event }) => event === 'ready'), 'ready');
  own.socket.close();
  for (const origin of [undefined, 'http://evil.test', 'null'])
    await expect(open({ headers: { cookie, ...(origin ? { origin } : {}) } })).rejects.toMatchObject({ status: 403, body: { code: 'access_cross_site' } });
});

test.each([
  ['no credential', {}, 401, 'kernel_unauthenticated'],
  ['a topic that is none', { topics: ['x'] }, 400, 'kernel_topic_invalid'],
  ['an offset that is none', { offset: '!' }, 400, 'kernel_offset_invalid'],
])('%s is refused in plain HTTP', async (what, options, status, code) => {
  await expect(open({ ...(what === 'no credential' ? {} : { key: server.keyA }), ...options })).rejects.toMatchObject({ status, body: { code } });
});

test('a key that is revoked hears no more, and why', async () => {
  const { id, secret } = await server.makeKey(server.database.tenantB, ['events.read']);
  const one = await open({ key: secret });
  await server.call(`/api/v1/keys/${id}`, { method: 'DELETE', key: server.keyB });
  await one.closed;
  expect(one.told.at(-1)).toMatchObject({ event: 'failure', data: { code: 'access_key_revoked' } });
});

test('messages that are too long or binary end it', async () => {
  const [long, binary] = await Promise.all([open({ key: server.keyA }), open({ key: server.keyA })]);
  long.socket.send(JSON.stringify({ subscribe: ['x'.repeat(20_000)] }));
  binary.socket.send(Buffer.from([1, 2, 3]));
  expect([await long.closed, await binary.closed]).toEqual([1009, 1003]);
});

test('a handshake whose connection ends while its credential is looked at takes no place', async () => {
  const ends: Promise<void>[] = [];
  const cutter = createServer().on('upgrade', (request, socket, head) => {
    ends.push(new Promise((resolve) => socket.on('close', resolve)));
    server.handler.upgrade(request, socket, head);
    socket.destroy();
  });
  await new Promise<void>((resolve) => cutter.listen(0, '127.0.0.1', resolve));
  const { port } = cutter.address() as AddressInfo;
  const lines = ['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='];
  const handshake = `GET ${addressOf({})} HTTP/1.1\r\nhost: plinth\r\nauthorization: Bearer ${server.keyB}\r\n${lines.join('\r\n')}\r\n\r\n`;
  await Promise.all(
    Array.from({ length: 40 }, () => {
      const client = connect(port, '127.0.0.1').on('error', () => {});
      client.write(handshake);
      return new Promise((resolve) => client.on('close', resolve));
    }),
  );
  expect(ends).toHaveLength(40);
  await Promise.all(ends);
  // More than half of the places at once: they are all there.
  await eventually(async () => {
    const opened = await Promise.allSettled(Array.from({ length: 15 }, () => open({ key: server.keyB })));
    for (const one of opened) if (one.status === 'fulfilled') one.value.socket.close();
    return opened.every(({ status }) => status === 'fulfilled');
  }, '15 places of 20 are free');
  await new Promise((resolve) => cutter.close(resolve));
});

/** As Java's HttpClient and Apache's ask over a plain connection: for this protocol, or the answer. */
async function offering(agent: Agent, path: string, body?: string): Promise<{ status: number | undefined; body: unknown }> {
  const headers = {
    authorization: `Bearer ${server.keyA}`,
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
  };
  const asked = request(`${http.origin}${path}`, {
    agent,
    method: body ? 'POST' : 'GET',
    headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
  });
  const answered = new Promise<Parameters<typeof text>[0] & { statusCode?: number }>((resolve, reject) => asked.on('response', resolve).on('error', reject));
  asked.end(body);
  const response = await answered;
  return { status: response.statusCode, body: JSON.parse(await text(response)) as unknown };
}

test('a request that offers another protocol than WebSocket is answered as any other, also the next one of its connection', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const payload = 'x'.repeat(100_000);
  expect(await offering(agent, '/livez')).toEqual({ status: 200, body: { alive: true } });
  const sent = JSON.stringify({ messages: [{ payload }] });
  expect(await offering(agent, '/api/v1/queues/offered/messages', sent)).toMatchObject({ status: 200, body: { ids: [expect.any(String)] } });
  expect(await offering(agent, '/api/v1/queues/offered/receive', '{}')).toMatchObject({ status: 200, body: { messages: [{ payload }] } });
  agent.destroy();
});

test('a WebSocket of another address is left to whoever else listens to the server, and refused where nobody does', async () => {
  const chat = new WebSocketServer({ noServer: true }).on('connection', (socket) => socket.send('"hello"'));
  const shared = createServer().on('upgrade', server.handler.upgrade);
  await new Promise<void>((resolve) => shared.listen(0, '127.0.0.1', resolve));
  const origin = `ws://127.0.0.1:${(shared.address() as AddressInfo).port}`;
  const firstOf = (path: string) =>
    new Promise<unknown>((resolve, reject) => {
      const socket = new WebSocket(`${origin}${path}`, ['plinth.realtime'], { headers: { authorization: `Bearer ${server.keyA}` } });
      socket.on('error', reject).on('message', (data) => {
        socket.close();
        resolve(JSON.parse(String(data)));
      });
    });
  await expect(firstOf('/chat')).rejects.toThrow('404');
  // Later than Plinth's, and slower.
  shared.on('upgrade', (incoming, socket, head) => {
    if (incoming.url === '/chat') setImmediate(() => chat.handleUpgrade(incoming, socket, head, (opened) => chat.emit('connection', opened)));
  });
  expect(await firstOf('/chat')).toBe('hello');
  expect(await firstOf('/realtime?topic=events/%23')).toMatchObject({ event: 'ready' });
  await new Promise((resolve) => shared.close(resolve));
});
