/** Queues over HTTP as any language sees them: answers, errors, permissions, idempotency, and waiting without holding anything. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Answer, TestServer } from '../../apps/server/server.fixture.ts';
import { testServer } from '../../apps/server/server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('queue_api');
});
afterAll(() => server.close());
beforeEach(() =>
  server.database.admin.query(
    'truncate plinth_queue.messages, plinth_queue.ready, plinth_queue.hidden, plinth_queue.grouped, plinth_queue.dead, plinth_queue.done, plinth_queue.queues, plinth_queue.cursors',
  ),
);

const post = (path: string, body: unknown, options: { key?: string; headers?: Record<string, string> } = {}): Promise<Answer> =>
  server.call(`/api/v1/queues/${path}`, { method: 'POST', key: options.key ?? server.keyA, headers: options.headers ?? {}, body });
interface Received {
  messages: { id: string; receipt: string; payload: unknown; receives: number }[];
}
const receive = async (body: object = {}, key?: string): Promise<Received['messages']> => {
  const answer = await post('q/receive', body, key === undefined ? {} : { key });
  expect(answer.status, answer.text).toBe(200);
  return (answer.body as Received).messages;
};
const codeOf = ({ body }: Answer): unknown => (body as { code?: string }).code;

describe('queues over HTTP', () => {
  test('send, receive, extend, release, acknowledge', async () => {
    const sent = await post('q/messages', { messages: [{ payload: { n: 1 } }, { payload: 2, headers: { v: 1 } }] });
    expect(sent.status, sent.text).toBe(200);
    const { ids } = sent.body as { ids: string[] };
    const [first, second] = await receive({ limit: 10 });
    expect([first?.id, second?.id]).toEqual(ids);
    expect(first).toMatchObject({ payload: { n: 1 }, receives: 1 });
    expect((await post('q/extend', { receipt: first?.receipt, visibility_ms: 60_000 })).status).toBe(200);
    expect((await post('q/release', { receipt: second?.receipt })).body).toEqual({ status: 'pending' });
    expect((await post('q/acknowledge', { receipts: [first?.receipt, second?.receipt] })).body).toEqual({
      acknowledged: [first?.receipt],
      lost: [second?.receipt],
    });
    expect((await server.call('/api/v1/queues/q', { key: server.keyA })).body).toMatchObject({ pending: 1, processing: 0 });
    expect((await server.call('/api/v1/queues', { key: server.keyA })).body).toMatchObject({ queues: [{ queue: 'q', pending: 1 }] });
    expect(codeOf(await post('q/extend', { receipt: second?.receipt }))).toBe('queue_receipt_lost');
    expect(codeOf(await post('q/extend', { receipt: 'x' }))).toBe('queue_receipt_invalid');
  });

  test('a receipt is of the queue that its message was received from: another queue in the address is told so, and nothing happens', async () => {
    await post('q/messages', { messages: [{ payload: 1 }, { payload: 2 }] });
    const receipts = (await receive({ limit: 2 })).map(({ receipt }) => receipt);
    const [receipt] = receipts;
    for (const [path, body] of [
      ['other/acknowledge', { receipts }],
      ['other/extend', { receipt }],
      ['other/release', { receipt, dead: true }],
    ] as const) {
      const answer = await post(path, body);
      expect([path, answer.status, codeOf(answer)]).toEqual([path, 404, 'queue_receipt_not_found']);
      // The other tenant has no such message, in whichever queue.
      expect((await post(path, body, { key: server.keyB })).text).not.toContain('"queue":"q"');
    }
    expect((await post('q/acknowledge', { receipts })).body).toEqual({ acknowledged: receipts, lost: [] });
    // Gone: no queue holds it.
    expect((await post('other/acknowledge', { receipts })).body).toEqual({ acknowledged: [], lost: receipts });
  });

  test('dead letters are listed and redriven, one and all', async () => {
    await server.call('/api/v1/queues/q', { method: 'PUT', key: server.keyA, body: { max_receives: 1 } });
    await post('q/messages', { messages: [{ payload: 1 }, { payload: 2 }] });
    for (const { receipt } of await receive({ limit: 2 })) await post('q/release', { receipt, error: 'cannot parse' });
    const list = (await server.call('/api/v1/lists/queue/dead', { key: server.keyA })).text;
    expect(list.match(/cannot parse/g)).toHaveLength(2);
    const { rows } = await server.database.admin.query<{ id: string }>('select id from plinth_queue.dead order by id');
    expect(codeOf(await post(`dead-letters/${rows[0]?.id}/redrive`, {}, { key: server.keyB }))).toBe('queue_dead_letter_not_found');
    expect((await post(`dead-letters/${rows[0]?.id}/redrive`, {})).status).toBe(200);
    expect((await post('q/redrive', {})).body).toEqual({ ids: [rows[1]?.id] });
    expect(await receive({ limit: 2 })).toMatchObject([{ payload: 1 }, { payload: 2 }]);
    expect((await post('q/purge', {})).body).toEqual({ purged: 2 });
  });

  test('an idempotency key sends once and receives once', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const one = await post('q/messages', { messages: [{ payload: 1 }] }, { headers });
    expect((await post('q/messages', { messages: [{ payload: 1 }] }, { headers })).body).toEqual(one.body);
    const again = { 'idempotency-key': crypto.randomUUID() };
    const got = await post('q/receive', { limit: 5 }, { headers: again });
    expect((got.body as Received).messages).toHaveLength(1);
    expect((await post('q/receive', { limit: 5 }, { headers: again })).body).toEqual(got.body);
  });

  test('each part needs its permission', async () => {
    const { secret } = await server.makeKey(server.database.tenantA, ['queue.send']);
    expect((await post('q/messages', { messages: [{ payload: 1 }] }, { key: secret })).status).toBe(200);
    for (const path of ['q/receive', 'q/purge', 'q/redrive']) expect((await post(path, {}, { key: secret })).status).toBe(403);
    expect(await receive({}, server.keyB)).toEqual([]);
  });
});

describe('waiting', () => {
  test('ends when a message comes, and holds no connection meanwhile', async () => {
    const { plinth, tenantA } = server.database;
    let looks = 0;
    const looked = Promise.withResolvers<void>();
    const { pool } = plinth;
    pool.on('release', () => {
      looks += 1;
      if (looks >= 2) looked.resolve();
    });
    const waiting = receive({ wait_ms: 20_000 });
    await looked.promise;
    // What else the call does, such as noting when its key was used, may still be at it.
    await expect.poll(() => pool.totalCount - pool.idleCount).toBe(0);
    await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.queue.send('q', { n: 1 }));
    expect(await waiting).toMatchObject([{ payload: { n: 1 } }]);
  });

  test('is over when the caller hangs up: what comes then is for others', async () => {
    const hangUp = new AbortController();
    const headers = { authorization: `Bearer ${server.keyA}`, 'content-type': 'application/json' };
    const asked = new Request('http://plinth.test/api/v1/queues/gone/receive', { method: 'POST', headers, body: '{"wait_ms":20000}', signal: hangUp.signal });
    const waiting = server.handler(asked);
    await expect.poll(() => asked.bodyUsed).toBe(true);
    hangUp.abort();
    expect((await waiting).status).toBe(499);
    await post('gone/messages', { messages: [{ payload: 1 }] });
    expect((await post('gone/receive', {})).body).toMatchObject({ messages: [{ payload: 1, receives: 1 }] });
  });

  test('notices a message that was sent by SQL alone, and ends with nothing when its time is over', async () => {
    const waiting = receive({ wait_ms: 20_000 });
    await server.database.plinth.transaction({ tenantId: server.database.tenantA }, (tx) => tx.query(`select plinth.send_message('q', '1')`));
    expect(await waiting).toMatchObject([{ payload: 1 }]);
    expect(await receive({ wait_ms: 30 })).toEqual([]);
  });
});
