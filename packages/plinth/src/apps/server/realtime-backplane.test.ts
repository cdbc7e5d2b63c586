/** Several server processes, told of each other's events by PostgreSQL, Redis or NATS; and what happens when a bus loses everything. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openHintBus } from '#adapters/bus/hints.ts';
import { createPlinth } from '../../index.ts';
import { needs } from '../../testing/needs.ts';
import type { Backplane, RealtimeOptions } from './index.ts';
import { createHandler, createServices, natsBackplane, natsCarrier, redisBackplane, redisCarrier } from './index.ts';
import type { Listening } from './realtime.fixture.ts';
import { eventually, listening } from './realtime.fixture.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  server = await testServer('realtime_backplane');
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => server.close());

/** A second server process, as far as one can be inside this one: a kernel, a pool and a handler of its own. */
async function another(realtime: RealtimeOptions): Promise<Listening> {
  const plinth = createPlinth({ database: { url: server.database.serverUrl, max: 3 } });
  const handler = createHandler({ plinth, services: { ...createServices({ log: { level: 'silent' } }) }, realtime });
  const http = await listening({ handler });
  closing.push(async () => {
    handler.endStreams();
    await http.close();
    await handler.settle();
    await plinth.close();
  });
  return http;
}

/** Which hints arrive, beside letting them through. */
function counted(backplane: Backplane): { backplane: Backplane; heard: string[] } {
  const heard: string[] = [];
  const listen: Backplane['listen'] = (onHint, log) =>
    backplane.listen((name) => {
      heard.push(name);
      onHint(name);
    }, log);
  return { backplane: { listen }, heard };
}

async function tellsAcross(http: Listening): Promise<void> {
  const reader = await http.listen({ key: server.keyA, topics: ['events/across'] });
  for (let n = 0; n < 5; n++)
    await server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => void tx.events.publish('across', { n }));
  await reader.until(({ numbers }) => numbers.length === 5);
  expect(reader.numbers).toEqual([0, 1, 2, 3, 4]);
  reader.close();
}

test('readers at two processes hear the same, and one that changes over misses nothing', async () => {
  const [first, second] = await Promise.all([another({}), another({})]);
  const [here, there] = await Promise.all([
    first.listen({ key: server.keyA, topics: ['events/both'] }),
    second.listen({ key: server.keyA, topics: ['events/both'] }),
  ]);
  const publish = (...numbers: number[]) =>
    server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => void numbers.map((n) => tx.events.publish('both', { n })));
  await publish(1, 2);
  await Promise.all([here, there].map((one) => one.until(({ numbers }) => numbers.length === 2)));
  const { lastId } = here;
  here.close();
  await publish(3);
  const moved = await second.listen({ key: server.keyA, topics: ['events/both'], offset: lastId });
  await publish(4);
  await Promise.all([moved.until(({ numbers }) => numbers.length === 2), there.until(({ numbers }) => numbers.length === 4)]);
  expect([moved.numbers, there.numbers]).toEqual([
    [3, 4],
    [1, 2, 3, 4],
  ]);
  moved.close();
  there.close();
});

test('a bus that loses every hint delays and loses nothing', async () => tellsAcross(await another({ backplane: { listen: () => () => {} } })));
test('without any bus the log is looked at all the same', async () => tellsAcross(await another({ backplane: false })));

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', () => resolve()));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function daemon(command: string, args: (port: number) => string[]): Promise<number> {
  const port = await freePort();
  const child = spawn(command, args(port), { stdio: 'ignore' });
  closing.push(() => child.kill('SIGKILL'));
  return port;
}

test.runIf(needs('redis').available)('hints over Redis', async () => {
  const port = await daemon('redis-server', (at) => ['--port', String(at), '--bind', '127.0.0.1', '--save', '']);
  const options = { port, host: '127.0.0.1', retryStrategy: () => 50, maxRetriesPerRequest: null };
  const [publisher, subscriber] = [new Redis(options), new Redis(options)];
  for (const one of [publisher, subscriber]) one.on('error', () => {});
  closing.push(() => {
    publisher.disconnect();
    subscriber.disconnect();
  });
  await publisher.ping();
  const { backplane, heard } = counted(redisBackplane(subscriber));
  closing.push(server.database.plinth.wake.carry(redisCarrier(publisher)));
  const http = await another({ backplane });
  await tellsAcross(http);
  await publisher.publish('plinth:hints', 'not json');
  await eventually(() => heard.includes('kernel.feed'), 'a hint came over Redis');
});

test.runIf(needs('nats').available)('hints over NATS', async () => {
  const port = await daemon(needs('nats').at, (at) => ['-a', '127.0.0.1', '-p', String(at)]);
  const connection = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 50 });
  closing.push(() => connection.close());
  const { backplane, heard } = counted(natsBackplane(connection));
  closing.push(server.database.plinth.wake.carry(natsCarrier(connection)));
  await tellsAcross(await another({ backplane }));
  await eventually(() => heard.includes('kernel.feed'), 'a hint came over NATS');
});

const silent = { warn: () => {} };
test.runIf(needs('nats').available).each([
  ['nats', needs('nats').at, (at: number) => ['-a', '127.0.0.1', '-p', String(at)]],
  ['redis', 'redis-server', (at: number) => ['--port', String(at), '--bind', '127.0.0.1', '--save', '']],
] as const)('a bus of %s that is started after the servers is used from then on', async (scheme, program, args) => {
  if (scheme === 'redis' && !needs('redis').available) return;
  const port = await freePort();
  const bus = await openHintBus(`${scheme}://127.0.0.1:${port}`, silent);
  closing.push(() => bus.close());
  await expect(bus.reached(100)).rejects.toThrow('does not answer');
  closing.push(server.database.plinth.wake.carry(bus.carry));
  const { backplane, heard } = counted(bus.backplane);
  const http = await another({ backplane });
  await tellsAcross(http);
  expect(heard).toEqual([]);
  const child = spawn(program, args(port), { stdio: 'ignore' });
  closing.push(() => child.kill('SIGKILL'));
  await bus.reached(20_000);
  await eventually(async () => {
    server.database.plinth.wake.signal(['kernel.feed']);
    return heard.includes('kernel.feed');
  }, `a hint came over ${scheme}`);
});
