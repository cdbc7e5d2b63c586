import { expect, test } from 'vitest';
import { createChannels } from './realtime-channels.ts';
import type { Connection } from './realtime-connection.ts';
import { createConnection } from './realtime-connection.ts';
import type { Frames } from './realtime-frames.ts';
import { parseTopic } from './realtime-topics.ts';

const TENANT = '018f0000-0000-7000-8000-00000000000a';

test('each time others are told first, and nobody is left out', () => {
  const channels = createChannels();
  const told: number[] = [];
  const connections = Array.from({ length: 10 }, (_, n): Connection => {
    const sink = { write: () => void told.push(n), waiting: 0, drained: async () => true, end() {}, destroy() {} };
    return createConnection({
      tenantId: TENANT,
      topics: [parseTopic('events/#')],
      offset: undefined,
      check: async () => {},
      format: 'sse',
      sink,
      bufferBytes: 100,
      leave() {},
      onSlow() {},
    });
  });
  for (const connection of connections) channels.add(connection);
  const event = { tenantId: TENANT, type: 'a.b' } as Frames['events'][number];
  const firsts = new Set<number>();
  for (let turn = 0; turn < 20; turn++) {
    told.length = 0;
    channels.tell({ events: [event], bytes: () => Buffer.from('x') });
    expect(told.toSorted((x, y) => x - y)).toEqual(connections.map((_, n) => n));
    firsts.add(told[0] ?? -1);
  }
  expect(firsts.size).toBeGreaterThan(5);
});
