/** Events on their way to real brokers: all of them, in the order of their streams, once where the broker knows ids; whoever is killed. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { natsServer, redisServer } from '#adapters/bus/broker.fixture.ts';
import { natsBus } from '#adapters/bus/nats.ts';
import { redisStreamsBus } from '#adapters/bus/redis.ts';
import { readEnvironment } from '#apps/cli/environment.ts';
import { consumeOnce } from '#kernel/feed.ts';
import type { CloudEvent, EventBus } from '#modules/events';
import { relayTo, waves } from '#modules/events';
import { testDatabase } from '#testing/database.ts';
import { needs } from '#testing/needs.ts';

const nats = needs('nats');
const redis = needs('redis');
const redisCommand = redis.at.startsWith('redis') ? 'redis-server' : redis.at;

/** What a broker holds: CloudEvents by tenant, in its order. */
type Held = Map<string, CloudEvent[]>;

async function inNats(port: number): Promise<Held> {
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info('PLINTH_EVENTS');
    const held: Held = new Map();
    if (state.messages === 0) return held;
    const messages = await (await jetstream(connection).consumers.get('PLINTH_EVENTS')).consume();
    let left = state.messages;
    for await (const message of messages) {
      const tenant = message.subject.split('.')[2] ?? '';
      const cloudEvent = message.json<CloudEvent>();
      expect(message.headers?.get('Nats-Msg-Id')).toBe(cloudEvent.id);
      held.set(tenant, [...(held.get(tenant) ?? []), cloudEvent]);
      left -= 1;
      if (left === 0) break;
    }
    return held;
  } finally {
    await connection.close();
  }
}

async function inRedis(port: number): Promise<Held> {
  const client = new Redis(port, '127.0.0.1');
  try {
    const held: Held = new Map();
    for (const key of await client.keys('plinth:events:{*}'))
      held.set(
        key.slice('plinth:events:{'.length, -1),
        (await client.xrange(key, '-', '+')).map(([, fields]) => JSON.parse(fields[5] ?? '') as CloudEvent),
      );
    return held;
  } finally {
    client.disconnect();
  }
}

const brokers = [
  {
    name: 'NATS JetStream',
    available: nats.available,
    serve: () => natsServer(nats.at),
    bus: (port: number): EventBus => natsBus({ servers: `127.0.0.1:${port}`, ackMs: 2_000 }),
    held: inNats,
    environment: (port: number): Record<string, string> => ({ PLINTH_NATS_URL: `127.0.0.1:${port}` }),
  },
  {
    name: 'Redis Streams',
    available: redis.available,
    serve: () => redisServer(redisCommand),
    bus: (port: number): EventBus => redisStreamsBus({ url: `redis://127.0.0.1:${port}`, answerMs: 2_000 }),
    held: inRedis,
    environment: (port: number): Record<string, string> => ({ PLINTH_REDIS_URL: `redis://127.0.0.1:${port}` }),
  },
];

const idsOf = (events: readonly CloudEvent[] | undefined): string[] => (events ?? []).map(({ id }) => id);
const sorted = (ids: readonly string[]): string[] => [...ids].sort();

describe.each(brokers.filter(({ available }) => available))('$name', ({ name, serve, bus: busOf, held: heldAt, environment }) => {
  const opened = testDatabase(`relay ${name}`);
  afterAll(async () => (await opened).drop());

  test('gets every event of every tenant as a CloudEvent, in the order of its stream, and no event twice', async () => {
    const { plinth, tenantA, tenantB } = await opened;
    await using broker = await serve();
    const bus = busOf(broker.port);
    const consumer = relayTo(bus, { batchSize: 50 });
    const wanted = new Map<string, string[]>([
      [tenantA, []],
      [tenantB, []],
    ]);
    for (const tenantId of [tenantA, tenantB])
      for (let n = 0; n < 40; n++)
        await plinth.transaction({ tenantId }, async (tx) => {
          const ids = [
            tx.events.publish('order.noted', { n }, { metadata: { traceparent: 'x' } }),
            ...tx.events.append({ type: 'order', id: String(n % 3) }, [
              { type: 'order.moved', data: { n } },
              { type: 'order.moved', data: { n } },
            ]),
          ];
          wanted.get(tenantId)?.push(...ids);
        });
    try {
      while ((await consumeOnce(plinth, 'relay.test', consumer)) > 0);
      const held = await heldAt(broker.port);
      for (const [tenantId, ids] of wanted) {
        expect(sorted(idsOf(held.get(tenantId)))).toEqual(sorted(ids));
        const streams = Map.groupBy(held.get(tenantId) ?? [], ({ subject }) => subject ?? '');
        for (const [subject, events] of streams)
          if (subject !== '') expect(events.map(({ sequence }) => Number(sequence))).toEqual(events.map((_, index) => index + 1));
        expect(held.get(tenantId)?.[0]).toMatchObject({ specversion: '1.0', source: `urn:uuid:${tenantId}`, datacontenttype: 'application/json' });
      }
      // Sent again, as after a crash between the confirmation and the checkpoint: known by their ids.
      while ((await consumeOnce(plinth, 'relay.again', consumer)) > 0);
      expect([...(await heldAt(broker.port)).values()].flat()).toHaveLength(240);
    } finally {
      await bus.close();
    }
  }, 120_000);

  test('that is down keeps events waiting, not lost and not blamed, and gets them when it is back', async () => {
    const { plinth, tenantA, admin } = await opened;
    await using broker = await serve();
    await broker.kill();
    const bus = busOf(broker.port);
    const consumer = relayTo(bus);
    const id = await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('while.down', {}));
    try {
      const shown = async () =>
        (await admin.query(`select status, failures, failing_since, last_error from plinth.consumers where consumer = 'relay.down'`)).rows[0];
      for (let n = 0; n < 3; n++) await expect(consumeOnce(plinth, 'relay.down', consumer)).rejects.toMatchObject({ code: 'kernel_unavailable' });
      expect(await shown()).toEqual({
        status: 'failing',
        failures: 0,
        failing_since: expect.any(Date),
        last_error: expect.stringContaining('did not take events'),
      });
      await broker.start();
      let handled = 0;
      for (let tries = 0; tries < 60 && handled === 0; tries++) handled = await consumeOnce(plinth, 'relay.down', consumer).catch(() => 0);
      while ((await consumeOnce(plinth, 'relay.down', consumer)) > 0);
      expect(await shown()).toEqual({ status: 'current', failures: 0, failing_since: null, last_error: null });
      expect(idsOf((await heldAt(broker.port)).get(tenantA))).toContain(id);
    } finally {
      await bus.close();
    }
  }, 120_000);

  test('has every event once after the process that sends them and the broker itself were killed again and again', async () => {
    const database = await opened;
    await using broker = await serve();
    let child: ChildProcess | undefined;
    const startChild = async (): Promise<void> => {
      child = spawn(process.execPath, [fileURLToPath(new URL('./relay.fixture.ts', import.meta.url))], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, ...environment(broker.port) },
      });
      if (child.stdout) await once(child.stdout, 'data');
    };
    const killChild = async (): Promise<void> => {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    };
    const ids: string[] = [];
    const write = async (): Promise<void> => {
      for (let n = 0; n < 20; n++)
        await database.plinth.transaction({ tenantId: database.tenantB }, async (tx) => {
          for (let one = 0; one < 10; one++) ids.push(tx.events.publish('under.fire', { n }, { stream: { type: 'fire', id: String(one) } }));
        });
    };
    const arrived = async (): Promise<string[]> =>
      heldAt(broker.port).then(
        (held) => (held.get(database.tenantB) ?? []).filter(({ type }) => type === 'under.fire').map(({ id }) => id),
        () => [],
      );
    /** Until the broker has more than it had, so that something is under way when the next is killed. */
    const progress = (than: number): Promise<void> =>
      vi.waitFor(async () => expect((await arrived()).length).toBeGreaterThan(than), { timeout: 30_000, interval: 50 });
    try {
      for (let round = 0; round < 3; round++) {
        const before = (await arrived()).length;
        await startChild();
        const writing = write();
        await progress(before);
        await (round === 1 ? broker.kill() : killChild());
        await writing;
        await killChild();
        if (round === 1) await broker.start();
      }
      await startChild();
      await vi.waitFor(async () => expect(new Set(await arrived()).size).toBe(ids.length), { timeout: 120_000, interval: 100 });
      const got = await arrived();
      expect(sorted([...new Set(got)])).toEqual(sorted(ids));
      // Ids are known for longer than this test may take.
      expect(got).toHaveLength(ids.length);
    } finally {
      await killChild();
    }
  }, 240_000);
});

describe.runIf(nats.available)('NATS JetStream', () => {
  const opened = testDatabase('relay nats only');
  afterAll(async () => (await opened).drop());

  test('gets its stream made again when somebody has deleted it', async () => {
    const { plinth, tenantA } = await opened;
    await using broker = await natsServer(nats.at);
    const bus = natsBus({ servers: `127.0.0.1:${broker.port}`, ackMs: 2_000 });
    const publish = () => plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('order.noted', {}));
    const relay = () => consumeOnce(plinth, 'relay.deleted', relayTo(bus));
    try {
      await publish();
      expect(await relay()).toBe(1);
      const connection = await connect({ servers: `127.0.0.1:${broker.port}` });
      await (await jetstreamManager(connection)).streams.delete('PLINTH_EVENTS');
      await connection.close();
      const id = await publish();
      const message = expect.stringContaining('no JetStream stream takes plinth.events.');
      await expect(relay()).rejects.toMatchObject({ code: 'kernel_unavailable', message });
      expect(await relay()).toBe(1);
      expect(idsOf((await inNats(broker.port)).get(tenantA))).toEqual([id]);
    } finally {
      await bus.close();
    }
  }, 60_000);

  test('gets a reference to an event that is too large for it, in its place', async () => {
    const { plinth, tenantB } = await opened;
    await using broker = await natsServer(nats.at);
    const bus = natsBus({ servers: `127.0.0.1:${broker.port}`, ackMs: 2_000 });
    try {
      const publish = (text: string) =>
        plinth.transaction({ tenantId: tenantB }, async (tx) => tx.events.publish('order.noted', { text }, { stream: { type: 'order', id: '1' } }));
      const ids = [await publish('small'), await publish('x'.repeat(1_048_000)), await publish('behind')];
      while ((await consumeOnce(plinth, 'relay.large', relayTo(bus))) > 0);
      const held = (await inNats(broker.port)).get(tenantB) ?? [];
      expect(idsOf(held)).toEqual(ids);
      expect(held.map(({ data, dataref }) => ({ data, dataref }))).toEqual([
        { data: { text: 'small' } },
        { dataref: `/api/v1/events/${ids[1]}` },
        { data: { text: 'behind' } },
      ]);
      const tiny: CloudEvent = { specversion: '1.0', id: 'i', source: 's'.repeat(2_000_000), type: 't' };
      await expect(bus.publish([{ id: 'i', tenantId: tenantB, type: 't', streamId: null, cloudEvent: tiny }])).rejects.toThrow('without its data');
    } finally {
      await bus.close();
    }
  }, 60_000);
});

test.runIf(redis.available)('a Redis stream can be kept short', async () => {
  await using broker = await redisServer(redisCommand);
  const bus = redisStreamsBus({ url: `redis://127.0.0.1:${broker.port}`, maxLength: 100, duplicateWindowS: 0 });
  const cloudEvent: CloudEvent = { specversion: '1.0', id: 'i', source: 's', type: 't' };
  const messages = Array.from({ length: 1_000 }, (_, n) => ({ id: String(n), tenantId: 't', type: 'a', streamId: null, cloudEvent }));
  try {
    await bus.publish(messages);
    const length = (await inRedis(broker.port)).get('t')?.length ?? 0;
    expect(length).toBeGreaterThanOrEqual(100);
    expect(length).toBeLessThan(500);
  } finally {
    await bus.close();
  }
});

test('messages of one stream never travel together', () => {
  const message = (id: string, streamId: string | null, tenantId = 'a') => ({
    id,
    tenantId,
    type: 't',
    streamId,
    cloudEvent: { specversion: '1.0', id, source: 's', type: 't' } as CloudEvent,
  });
  const groups = waves([
    message('1', 'x'),
    message('2', null),
    message('3', 'x'),
    message('4', 'y'),
    message('5', 'x', 'b'),
    message('6', null),
    message('7', 'x'),
  ]);
  expect(groups.map((group) => group.map(({ id }) => id))).toEqual([['1', '2', '4', '5', '6'], ['3'], ['7']]);
});

test('the environment names the brokers, each with its URL', () => {
  expect(readEnvironment({}).relay).toEqual([]);
  expect(readEnvironment({ PLINTH_RELAY: 'nats, redis', PLINTH_NATS_URL: 'nats://a', PLINTH_REDIS_URL: 'redis://b' })).toMatchObject({
    relay: ['nats', 'redis'],
  });
  expect(() => readEnvironment({ PLINTH_RELAY: 'kafka' })).toThrow('give one of nats, redis');
  expect(() => readEnvironment({ PLINTH_RELAY: 'nats' })).toThrow('PLINTH_NATS_URL is not set');
});
