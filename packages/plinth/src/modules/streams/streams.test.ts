/** Durable streams from SQL and TypeScript: in the caller's transaction, in one tenant. The protocol over HTTP is apps/server/durable-conformance.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { appendStream, createStream, deleteStream, openStream, readStreamMessages } from './index.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('streams');
});
afterAll(() => database.drop());

const inA = <T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T> => database.plinth.transaction({ tenantId: database.tenantA }, body);
const inB = <T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T> => database.plinth.transaction({ tenantId: database.tenantB }, body);
const bytes = (text: string): Buffer => Buffer.from(text);
const textOf = (path: string, run = inA): Promise<string> =>
  run(async (tx) => {
    const { id } = await openStream(tx, path, true);
    return (await readStreamMessages(tx, id, '0', 1_000)).map(({ data }) => data.toString()).join('');
  });

test('what is appended commits or rolls back with the rest of the transaction', async () => {
  await inA(async (tx) => {
    await createStream(tx, 'atomic', { contentType: 'text/plain', data: bytes('a') });
    await appendStream(tx, 'atomic', { data: bytes('b') });
  });
  await inA(async (tx) => {
    await appendStream(tx, 'atomic', { data: bytes('c') });
    throw new Error('changed my mind');
  }).catch(() => {});
  expect(await textOf('atomic')).toBe('ab');
});

test("another tenant's stream of the same path is another stream, and none of its own is to be seen", async () => {
  await inA((tx) => createStream(tx, 'shared', { contentType: 'text/plain', data: bytes('of a') }));
  await expect(inB((tx) => openStream(tx, 'shared', false))).rejects.toMatchObject({ code: 'streams_stream_not_found' });
  await expect(inB((tx) => createStream(tx, 'fork', { fork: { path: 'shared' } }))).rejects.toMatchObject({ code: 'streams_stream_not_found' });
  await inB((tx) => createStream(tx, 'shared', { contentType: 'text/plain', data: bytes('of b') }));
  const { id } = await inA((tx) => openStream(tx, 'shared', false));
  expect([await textOf('shared'), await textOf('shared', inB)]).toEqual(['of a', 'of b']);
  expect(await inB((tx) => readStreamMessages(tx, id, '0', 10))).toEqual([]);
  expect((await inB((tx) => tx.query('select path from plinth.durable_streams'))).length).toBe(1);
});

test('a stream of JSON holds JSON, whoever appends', async () => {
  await inA((tx) => createStream(tx, 'json', { contentType: 'application/json; charset=utf-8', data: bytes('1,[2]') }));
  for (const wrong of ['1],[2', '1,', ' ', '{', '\xff'])
    await expect(
      inA((tx) => appendStream(tx, 'json', { data: Buffer.from(wrong, 'latin1') })),
      wrong,
    ).rejects.toMatchObject({ code: 'streams_json_invalid', status: 400 });
  await expect(inA((tx) => createStream(tx, 'none', { contentType: 'application/json', data: bytes('x') }))).rejects.toMatchObject({
    code: 'streams_json_invalid',
  });
  await inA((tx) => appendStream(tx, 'json', { data: bytes('{"n": 1.10}') }));
  expect(await textOf('json')).toBe('1,[2]{"n": 1.10}');
});

test('appends of many writers at a time stand one behind the other, and a reader that goes on from its place misses none', async () => {
  await inA((tx) => createStream(tx, 'busy', { contentType: 'text/plain' }));
  const { id } = await inA((tx) => openStream(tx, 'busy', false));
  const writers = Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let n = 0; n < 20; n++)
        await inA((tx) => appendStream(tx, 'busy', { data: bytes(`${writer}.${n};`), producer: { id: `w${writer}`, epoch: 0, seq: n } }));
    }),
  );
  const seen: string[] = [];
  let after = '0';
  const end = performance.now() + 30_000;
  while (seen.length < 160 && performance.now() < end) {
    for (const message of await inA((tx) => readStreamMessages(tx, id, after, 7))) {
      seen.push(message.data.toString());
      after = message.position;
    }
  }
  await writers;
  expect(seen).toHaveLength(160);
  for (let writer = 0; writer < 8; writer++)
    expect(seen.filter((one) => one.startsWith(`${writer}.`))).toEqual(Array.from({ length: 20 }, (_, n) => `${writer}.${n};`));
});

describe('two that create the same path at a time', () => {
  test('get one stream', async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => inA((tx) => createStream(tx, 'raced', { contentType: 'text/plain' }))));
    expect(made.filter(({ created }) => created)).toHaveLength(1);
  });
});

test('a source that was deleted goes when its last fork does, and then its path is free', async () => {
  await inA((tx) => createStream(tx, 'source', { contentType: 'application/json', data: bytes('1,2,3') }));
  await inA((tx) => createStream(tx, 'child', { fork: { path: 'source', at: '0', part: 2 } }));
  await inA((tx) => appendStream(tx, 'child', { data: bytes('"mine"') }));
  await inA((tx) => deleteStream(tx, 'source'));
  await expect(inA((tx) => openStream(tx, 'source', false))).rejects.toMatchObject({ code: 'streams_stream_gone' });
  await expect(inA((tx) => createStream(tx, 'source'))).rejects.toMatchObject({ code: 'streams_path_held' });
  expect(await textOf('child')).toBe('1,2"mine"');
  await inA((tx) => deleteStream(tx, 'child'));
  expect((await inA((tx) => createStream(tx, 'source'))).created).toBe(true);
});

test('a stream whose time is over is none, and is created anew', async () => {
  await inA((tx) => createStream(tx, 'brief', { contentType: 'text/plain', data: bytes('old'), expiresAt: '2020-01-01T00:00:00Z' }));
  await expect(inA((tx) => appendStream(tx, 'brief', { data: bytes('x') }))).rejects.toMatchObject({ code: 'streams_stream_not_found' });
  await inA((tx) => createStream(tx, 'brief', { contentType: 'text/plain', data: bytes('new') }));
  expect(await textOf('brief')).toBe('new');
});

test('a closed stream takes nothing but the repetition of what closed it', async () => {
  const last = { data: bytes('end'), close: true, producer: { id: 'p', epoch: 1, seq: 0 } };
  await inA((tx) => createStream(tx, 'closed', { contentType: 'text/plain' }));
  expect(await inA((tx) => appendStream(tx, 'closed', last))).toMatchObject({ closed: true, duplicate: false });
  expect(await inA((tx) => appendStream(tx, 'closed', last))).toMatchObject({ closed: true, duplicate: true });
  await expect(inA((tx) => appendStream(tx, 'closed', { data: bytes('more') }))).rejects.toMatchObject({ code: 'streams_stream_closed' });
});
