import { expect, test } from 'vitest';
import { createChannels } from './realtime-channels.ts';
import { Connection } from './realtime-connection.ts';
import type { Frames } from './realtime-frames.ts';
import { parseTopic } from './realtime-topics.ts';

const TENANT = '018f0000-0000-7000-8000-00000000000a';

const connectionOf = (onWrite: (bytes: Buffer) => void): Connection =>
  new Connection({
    tenantId: TENANT,
    topics: [parseTopic('events/a.*')],
    offset: undefined,
    check: async () => {},
    format: 'sse',
    sink: {
      write(bytes) {
        onWrite(bytes);
        return 0;
      },
      waiting: 0,
      drained: async () => true,
      end() {},
      destroy() {},
    },
    bufferBytes: 100,
    leave() {},
    onSlow() {},
  });

test('what is held back for a reader of its past is what it asked for, and bounded by its bytes', () => {
  const channels = createChannels();
  const connection = connectionOf(() => expect.unreachable());
  connection.held = { events: [], bytes: 0, overflowed: false };
  channels.add(connection);
  const events = ['a.b', 'b.c', 'a.c'].map((type) => ({ tenantId: TENANT, type }) as Frames['events'][number]);
  const tell = (bytes: number): void => channels.tell({ events, bytes: (_, indexes) => Buffer.alloc(bytes * indexes.length) });
  tell(1_000);
  expect(connection.held).toMatchObject({ bytes: 2_000, overflowed: false, events: [{ event: { type: 'a.b' } }, { event: { type: 'a.c' } }] });
  tell(3 * 1_048_576);
  expect(connection.held).toMatchObject({ overflowed: true, events: [] });
  tell(10);
  expect(connection.held).toMatchObject({ overflowed: true, events: [] });
});

test('each time others are told first, and nobody is left out', () => {
  const channels = createChannels();
  const told: number[] = [];
  const connections = Array.from({ length: 10 }, (_, n) => connectionOf(() => void told.push(n)));
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
