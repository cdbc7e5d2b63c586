/** Events that a broker takes of nobody, or not of this tenant, while it takes those of others. */
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { natsServer, redisServer } from '#adapters/bus/broker.fixture.ts';
import { natsBus } from '#adapters/bus/nats.ts';
import { redisStreamsBus } from '#adapters/bus/redis.ts';
import { consumeOnce } from '#kernel/feed.ts';
import type { EventBus } from '#modules/events';
import { relayTo } from '#modules/events';
import { testDatabase } from '#testing/database.ts';
import { needs } from '#testing/needs.ts';

const nats = needs('nats');
const redis = needs('redis');
const database = await testDatabase('relay refused');
const { plinth, tenantA: a, tenantB: b } = database;
let name = '';
let tests = 0;
beforeEach(() => {
  tests += 1;
  name = `relay.refused-${tests}`;
});
afterAll(() => database.drop());

const publish = (tenantId: string, ...sizes: number[]): Promise<string[]> =>
  plinth.transaction({ tenantId }, async (tx) => sizes.map((size) => tx.events.publish('order.noted', { text: 'x'.repeat(size) })));

/** Until nothing is left to read; what is refused stays aside. */
async function relay(bus: EventBus): Promise<void> {
  const consumer = relayTo(bus, { from: 'now' });
  for (let quiet = 0; quiet < 2; ) quiet = (await consumeOnce(plinth, name, consumer).catch(() => -1)) === 0 ? quiet + 1 : 0;
}
const aside = async () =>
  (
    await database.admin.query<{ event_id: string; error: string }>(
      'select event_id, error from plinth_events.parked where consumer = $1 and ended_at is null',
      [name],
    )
  ).rows;

interface Told {
  id: string;
  data?: unknown;
  dataref?: string;
}

/** A server with a stream of these limits, and what its stream holds of a tenant. */
async function withNats(limits: object, body: (bus: EventBus, heldOf: (tenantId: string) => Promise<Told[]>) => Promise<void>): Promise<void> {
  await using server = await natsServer(nats.at);
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'PLINTH_EVENTS', subjects: ['plinth.events.>'], ...limits });
  const bus = natsBus({ servers: `127.0.0.1:${server.port}`, ackMs: 2_000 });
  const heldOf = async (tenantId: string): Promise<Told[]> => {
    const { state } = await manager.streams.info('PLINTH_EVENTS');
    const held: Told[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage('PLINTH_EVENTS', { seq });
      if (message?.subject.includes(tenantId)) held.push(message.json<Told>());
    }
    return held;
  };
  try {
    await relay(bus);
    await body(bus, heldOf);
  } finally {
    await bus.close();
    await connection.close();
  }
}

test.runIf(nats.available)('an event that is larger than its JetStream stream takes goes as a reference', { timeout: 60_000 }, async () => {
  await withNats({ max_msg_size: 4_000 }, async (bus, heldOf) => {
    const [large, small] = [await publish(a, 50_000, 10), await publish(b, 10)];
    await relay(bus);
    // Events of no stream are sent at once, in no order.
    const held = (await heldOf(a)).sort((one, other) => large.indexOf(one.id) - large.indexOf(other.id));
    expect(held).toMatchObject([
      { id: large[0], dataref: `/api/v1/events/${large[0]}` },
      { id: large[1], data: { text: 'x'.repeat(10) } },
    ]);
    expect((await heldOf(b)).map(({ id }) => id)).toEqual(small);
    expect(await aside()).toEqual([]);
  });
});

test.runIf(nats.available)('a subject that is full stalls its own tenant, and no other', { timeout: 60_000 }, async () => {
  await withNats({ max_msgs_per_subject: 1, discard: 'new', discard_new_per_subject: true }, async (bus, heldOf) => {
    const full = await publish(a, 1, 2);
    await relay(bus);
    const other = await publish(b, 1);
    await relay(bus);
    expect((await heldOf(a)).map(({ id }) => id)).toEqual(full.slice(0, 1));
    expect((await heldOf(b)).map(({ id }) => id)).toEqual(other);
    expect(await aside()).toMatchObject([{ event_id: full[1], error: expect.stringContaining('maximum messages per subject') }]);
  });
});

test.runIf(redis.available)('a key that holds something else stalls its own tenant, and no other', { timeout: 60_000 }, async () => {
  await using server = await redisServer(redis.at.startsWith('redis') ? 'redis-server' : redis.at);
  const client = new Redis(server.port, '127.0.0.1');
  const bus = redisStreamsBus({ url: `redis://127.0.0.1:${server.port}`, answerMs: 2_000 });
  try {
    await client.set(`plinth:events:{${a}}`, 'something else');
    await relay(bus);
    const [refused, taken] = [await publish(a, 1), await publish(b, 1)];
    await relay(bus);
    expect((await client.xrange(`plinth:events:{${b}}`, '-', '+')).map(([, fields]) => fields[1])).toEqual(taken);
    expect(await aside()).toMatchObject([{ event_id: refused[0], error: expect.stringContaining('something else') }]);
  } finally {
    await bus.close();
    client.disconnect();
  }
});
