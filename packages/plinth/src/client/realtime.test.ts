/** The realtime client, against the real server: it comes back by itself and misses nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { serve } from '../apps/server/index.ts';
import { eventually } from '../apps/server/realtime.fixture.ts';
import { type TestServer, testServer } from '../apps/server/server.fixture.ts';
import type { RealtimeClientOptions, RealtimeState } from './realtime.ts';
import { frameReader, realtime } from './realtime.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('client_realtime');
});
afterAll(() => server.close());

const publish = (...numbers: number[]) =>
  server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => void numbers.map((n) => tx.events.publish('client.told', { n })));

function listen(options: Partial<RealtimeClientOptions> & { url: string }) {
  const seen = { aggregates: [] as unknown[], numbers: [] as number[], resets: [] as string[], states: [] as RealtimeState[], refused: [] as string[] };
  const client = realtime<{ n: number }>(
    { token: server.keyA, topics: ['events/client.*'], backoffMs: { first: 20, longest: 200 }, ...options },
    {
      onEvent: ({ payload, aggregate_id, version }) => {
        seen.aggregates.push([aggregate_id, version]);
        seen.numbers.push(payload.n);
      },
      onReset: ({ reason }) => void seen.resets.push(reason),
      onState: (state) => void seen.states.push(state),
      onRefused: ({ code }) => void seen.refused.push(code),
    },
  );
  return { client, seen };
}

test('goes on at another process when its server goes, without a gap and without telling anything twice', async () => {
  let serving = await serve({ fetch: server.handler, port: 0, graceMs: 50 });
  const { origin, port } = serving;
  const { client, seen } = listen({ url: origin });
  await eventually(() => client.state === 'live', 'it is live');
  await publish(1, 2);
  await eventually(() => seen.numbers.length === 2, 'it was told');
  server.handler.endStreams();
  await serving.close();
  await publish(3, 4);
  serving = await serve({ fetch: server.handler, port, tries: 0, graceMs: 50 });
  await publish(5);
  await eventually(() => seen.numbers.length >= 5, 'it was told the rest');
  expect(seen.numbers).toEqual([1, 2, 3, 4, 5]);
  expect(seen.aggregates[0], 'what the frame left out is null').toEqual([null, null]);
  expect(seen.states).toEqual(expect.arrayContaining(['live', 'waiting']));
  const other = listen({ url: origin, offset: client.offset });
  await eventually(() => other.client.state === 'live', 'another begins where it stands');
  expect(other.seen.numbers).toEqual([]);
  client.close();
  other.client.close();
  await publish(6);
  server.handler.endStreams();
  await serving.close();
  expect(seen.numbers).toHaveLength(5);
});

test('a refusal for good ends it and says why', async () => {
  const serving = await serve({ fetch: server.handler, port: 0, graceMs: 50 });
  const [topic, key] = [listen({ url: serving.origin, topics: ['orders'] }), listen({ url: serving.origin, token: 'plk_nothing' })];
  await eventually(() => topic.client.state === 'closed' && key.client.state === 'closed', 'both are closed');
  expect(topic.seen.refused).toEqual(['kernel_topic_invalid']);
  expect(key.seen.refused[0]).toMatch(/^access_/);
  await serving.close();
});

test('what a listener throws is reported, its connection is given up, and it is told again after growing waits', async () => {
  const serving = await serve({ fetch: server.handler, port: 0, graceMs: 50 });
  const signals: (AbortSignal | null | undefined)[] = [];
  const [told, errors]: [number[], unknown[]] = [[], []];
  const client = realtime<{ n: number }>(
    {
      url: serving.origin,
      token: server.keyA,
      topics: ['events/client.*'],
      backoffMs: { first: 20, longest: 200 },
      fetch: (input, init) => {
        signals.push(init?.signal);
        return fetch(input, init);
      },
    },
    {
      onEvent: ({ payload: { n } }) => {
        if (n === 2 && errors.length < 3) throw new Error(`not yet ${errors.length}`);
        told.push(n);
      },
      onError: (error) => void errors.push(String(error)),
    },
  );
  await eventually(() => client.state === 'live', 'it is live');
  await publish(1);
  await eventually(() => told.length === 1, 'it was told');
  await publish(2);
  await eventually(() => told.length === 2, 'it was told again');
  await publish(3);
  await eventually(() => told.length === 3, 'it goes on');
  expect(told).toEqual([1, 2, 3]);
  expect(errors).toEqual(['Error: not yet 0', 'Error: not yet 1', 'Error: not yet 2']);
  expect(signals.map((signal) => signal?.aborted)).toEqual([true, true, true, false]);
  client.close();
  expect(signals.at(-1)?.aborted).toBe(true);
  server.handler.endStreams();
  await serving.close();
});

test('a token that ends is asked for anew, and the second refusal in a row is for good', async () => {
  const serving = await serve({ fetch: server.handler, port: 0, graceMs: 50 });
  const { id, secret } = await server.makeKey(server.database.tenantA, ['events.read']);
  const tokens = ['plk_nothing', secret, server.keyA];
  const asked: string[] = [];
  const { client, seen } = listen({
    url: serving.origin,
    token: () => {
      asked.push(tokens.shift() ?? 'plk_nothing');
      return asked.at(-1) ?? '';
    },
  });
  await eventually(() => client.state === 'live', 'the second token was taken');
  await publish(1);
  await eventually(() => seen.numbers.length === 1, 'it was told');
  await server.call(`/api/v1/keys/${id}`, { method: 'DELETE', key: server.keyA });
  await eventually(() => asked.length === 3 && client.state === 'live', 'the third token was taken');
  await publish(2);
  await eventually(() => seen.numbers.length === 2, 'it goes on where it was');
  expect([seen.numbers, seen.refused]).toEqual([[1, 2], []]);
  client.close();
  const other = listen({ url: serving.origin, token: async () => 'plk_nothing' });
  await eventually(() => other.client.state === 'closed', 'it is closed');
  expect(other.seen.refused).toHaveLength(1);
  server.handler.endStreams();
  await serving.close();
});

test('frames are read however they were cut', () => {
  const text = 'retry: 5\n\nid: a\nevent: event\ndata: {"n":\ndata: 1}\n\nid: b\n: alive\n\n';
  for (let cut = 1; cut < text.length; cut++) {
    const read = frameReader();
    expect([...read(text.slice(0, cut)), ...read(text.slice(cut))].filter(({ id }) => id)).toEqual([
      { event: 'event', id: 'a', data: '{"n":\n1}' },
      { event: 'message', id: 'b', data: undefined },
    ]);
  }
});
