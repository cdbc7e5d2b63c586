/** Subscriptions that are pulled: read over HTTP in order, from where a reader was, by those who may. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Serving } from './index.ts';
import { serve } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';
import type { Pulled } from './webhooks-pull.fixture.ts';
import { pullWorker } from './webhooks-pull.fixture.ts';

const SUBSCRIPTIONS = '/api/v1/webhooks/subscriptions';
let server: TestServer;
let serving: Serving;
let stopWorker: () => Promise<void>;
beforeAll(async () => {
  server = await testServer('webhooks_pull', {
    keys: createKeyRing({ current: Buffer.alloc(32, 7).toString('base64') }),
    durableStreams: { longPollMs: 5_000 },
  });
  serving = await serve({ fetch: (request, peer) => server.handler(request, peer), port: 0, graceMs: 200 });
  stopWorker = pullWorker(server.database, 2);
});
afterAll(async () => {
  await stopWorker();
  server.handler.endStreams();
  await serving.close();
  await server.close();
});

const post = (path: string, body: unknown, key = server.keyA) => server.call(path, { method: 'POST', key, body });
async function subscribe(name: string, more: Record<string, unknown> = {}, key = server.keyA): Promise<string> {
  const made = await post(SUBSCRIPTIONS, { name, mode: 'pull', patterns: [`${name}.#`], ...more }, key);
  expect(made.status, made.text).toBe(200);
  expect(made.body).toMatchObject({ secret: null });
  return (made.body as { id: string }).id;
}
const happen = (tenantId: string, type: string, ...numbers: number[]) =>
  server.database.plinth.transaction({ tenantId }, async (tx) => numbers.map((n) => tx.events.publish(type, { n })));
const address = (id: string) => `/api/v1/durable/webhooks/${id}`;
/** Reads until so many messages were there. */
async function pull(id: string, count: number, from = '-1', key = server.keyA): Promise<{ messages: Pulled[]; next: string }> {
  const messages: Pulled[] = [];
  let next = from;
  const end = performance.now() + 25_000;
  while (messages.length < count && performance.now() < end) {
    const page = await server.call(`${address(id)}?offset=${next}&live=long-poll`, { key });
    expect([200, 204], page.text).toContain(page.status);
    messages.push(...((page.body as Pulled[] | undefined) ?? []));
    next = page.headers.get('stream-next-offset') ?? next;
  }
  return { messages, next };
}
const numbers = (messages: readonly Pulled[]) => messages.map(({ body }) => body.data.n);

test('a subscription that is pulled gives its messages in order, filtered and transformed, with offsets to go on from', async () => {
  const id = await subscribe('pick', { filter: '$.data.n > 1', transform: { set: { 'data.by': 'plinth' } } });
  const ids = await happen(server.database.tenantA, 'pick.me', 1, 2, 3);
  const { messages, next } = await pull(id, 2);
  expect(messages).toMatchObject([
    { event_id: ids[1], event_type: 'pick.me', body: { type: 'pick.me', data: { n: 2, by: 'plinth' } } },
    { event_id: ids[2], body: { data: { n: 3 } } },
  ]);
  expect(messages.at(-1)?.offset).toBe(next);
  // The webhook-id is the one that a push of the same event to the same subscription would have.
  const [expected] = await server.database.plinth.transaction({ tenantId: server.database.tenantA }, (tx) =>
    tx.query<{ id: string }>('select plinth_webhooks.delivery_id($1, $2) as id', [id, ids[1]]),
  );
  expect(messages[0]?.webhook_id).toBe(expected?.id);
  const again = await server.call(`${address(id)}?offset=${messages[0]?.offset}`, { key: server.keyA });
  expect(numbers(again.body as Pulled[])).toEqual([3]);
  expect(again.headers.get('stream-up-to-date')).toBe('true');
  const waiting = pull(id, 1, next);
  await happen(server.database.tenantA, 'pick.me', 4);
  expect(numbers((await waiting).messages)).toEqual([4]);
});

test('how far a reader is behind can be seen', async () => {
  const id = await subscribe('lag');
  await happen(server.database.tenantA, 'lag.x', 1, 2, 3);
  const { messages } = await pull(id, 3);
  const shown = async () => {
    await server.call(`${address(id)}?offset=${messages[0]?.offset}`, { key: server.keyA });
    return (await server.call(`${SUBSCRIPTIONS}/${id}`, { key: server.keyA })).body;
  };
  // A reader does not wait for whoever appends, and two do: the next read notes it then.
  await expect.poll(shown, { timeout: 10_000 }).toMatchObject({ mode: 'pull', url: null, pull_tail: 3, pull_read_to: 1, pull_unread: 2 });
});

describe('who may read', () => {
  test('keys with webhooks.pull, in their own tenant only', async () => {
    const id = await subscribe('guarded');
    const { secret: reader } = await server.makeKey(server.database.tenantA, ['webhooks.pull']);
    const { secret: other } = await server.makeKey(server.database.tenantA, ['webhooks.read']);
    await happen(server.database.tenantA, 'guarded.x', 1);
    await happen(server.database.tenantB, 'guarded.x', 2);
    expect(numbers((await pull(id, 1, '-1', reader)).messages)).toEqual([1]);
    expect(await server.call(address(id), { key: other })).toMatchObject({ status: 403, body: { code: 'kernel_forbidden' } });
    expect(await server.call(address(id))).toMatchObject({ status: 401 });
    expect(await server.call(address(id), { key: server.keyB })).toMatchObject({ status: 404, body: { code: 'webhooks_subscription_not_found' } });
  });

  test('whoever has a link into the portal, through the portal', async () => {
    const id = await subscribe('customer');
    await happen(server.database.tenantA, 'customer.x', 1);
    await pull(id, 1);
    const link = await post('/api/v1/webhooks/portal-links', { capabilities: 'read' });
    const { token } = link.body as { token: string };
    const page = await server.call(`/api/v1/webhooks/portal/endpoints/${id}/messages?offset=-1`, { key: token });
    expect(numbers(page.body as Pulled[])).toEqual([1]);
    expect(await server.call(address(id), { key: token })).toMatchObject({ status: 403, body: { code: 'webhooks_portal_confined' } });
    const linkB = (await post('/api/v1/webhooks/portal-links', {}, server.keyB)).body as { token: string };
    expect((await server.call(`/api/v1/webhooks/portal/endpoints/${id}/messages`, { key: linkB.token })).status).toBe(404);
  });
});

describe('bad input gets a documented error', () => {
  test.each([
    ['a URL for one that is pulled', { mode: 'pull', url: 'https://example.com/' }, 400, 'webhooks_mode_invalid'],
    ['no URL for one that is pushed', { mode: 'push' }, 400, 'webhooks_url_invalid'],
  ])('%s', async (_what, more, status, code) => {
    expect(await post(SUBSCRIPTIONS, { name: 'bad', patterns: ['x'], ...more })).toMatchObject({ status, body: { code } });
  });

  test('reading one that is pushed, one that is not there, an offset that is none or not kept any more', async () => {
    const pushed = (await post(SUBSCRIPTIONS, { name: 'pushed', patterns: ['x'], url: 'https://example.com/' })).body as { id: string };
    expect(await server.call(address(pushed.id), { key: server.keyA })).toMatchObject({ status: 409, body: { code: 'webhooks_not_pulled' } });
    expect(await server.call(address('nothing'), { key: server.keyA })).toMatchObject({ status: 404, body: { code: 'webhooks_subscription_not_found' } });
    const id = await subscribe('old');
    expect(await server.call(`${address(id)}?offset=x`, { key: server.keyA })).toMatchObject({ status: 400, body: { code: 'streams_request_invalid' } });
    await happen(server.database.tenantA, 'old.x', 1, 2, 3);
    const { messages } = await pull(id, 3);
    await server.database.admin.query('delete from plinth_webhooks.pulled_messages where subscription_id = $1 and position <= 2', [id]);
    expect(await server.call(`${address(id)}?offset=${messages[0]?.offset}`, { key: server.keyA })).toMatchObject({
      status: 410,
      body: { code: 'webhooks_offset_gone' },
    });
    expect(numbers((await server.call(`${address(id)}?offset=${messages[1]?.offset}`, { key: server.keyA })).body as Pulled[])).toEqual([3]);
    expect(numbers((await server.call(`${address(id)}?offset=-1`, { key: server.keyA })).body as Pulled[])).toEqual([3]);
  });

  test('another order than that of the lane', async () => {
    const id = await subscribe('ordered');
    const answer = await server.call(`${SUBSCRIPTIONS}/${id}/policy`, { method: 'PATCH', key: server.keyA, body: { ordering: 'parallel' } });
    expect(answer).toMatchObject({ status: 400, body: { code: 'webhooks_policy_invalid' } });
  });
});

test('what waits goes the new way when the mode changes; replays and test events are read behind the rest', async () => {
  const change = (id: string, body: unknown) => server.call(`${SUBSCRIPTIONS}/${id}`, { method: 'PATCH', key: server.keyA, body });
  const made = await post(SUBSCRIPTIONS, { name: 'turning', patterns: ['turning.#'], url: 'https://example.com/' });
  const { id } = made.body as { id: string };
  await happen(server.database.tenantA, 'turning.x', 1, 2);
  const waiting = async () =>
    Number((await server.database.admin.query('select count(*) from plinth_webhooks.deliveries where subscription_id = $1', [id])).rows[0].count);
  const end = performance.now() + 25_000;
  while ((await waiting()) < 2 && performance.now() < end) await server.database.plinth.wake.next([], 10);
  expect((await change(id, { mode: 'pull' })).body).toMatchObject({ mode: 'pull', url: null, ordering: 'fifo' });
  const { messages, next } = await pull(id, 2);
  expect(numbers(messages)).toEqual([1, 2]);
  expect((await post(`${SUBSCRIPTIONS}/${id}/test`, {})).status).toBe(200);
  const tested = await pull(id, 1, next);
  expect(tested.messages).toMatchObject([{ event_id: null, event_type: 'webhooks.test' }]);
  expect((await post(`${SUBSCRIPTIONS}/${id}/replays`, { since: '2020-01-01T00:00:00Z' })).status).toBe(200);
  await server.database.plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.work_replays()'));
  expect((await pull(id, 2, tested.next)).messages.map((message) => message.webhook_id)).toEqual(messages.map((message) => message.webhook_id));
  expect(await change(id, { mode: 'push' })).toMatchObject({ status: 400, body: { code: 'webhooks_url_invalid' } });
  expect((await change(id, { mode: 'push', url: 'https://example.com/' })).body).toMatchObject({ mode: 'push', url: 'https://example.com/' });
});

/** Reads Server-Sent Events up to the end of the stream or an abort; what comes before the abort is handed over event by event. */
async function readSse(response: Response, hear: (event: string, data: string) => void): Promise<void> {
  let text = '';
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const parts = text.split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const lines = part.split('\n');
      const event = lines.find((line) => line.startsWith('event: '))?.slice(7) ?? '';
      const data = lines.flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trimStart()] : []));
      hear(event, data.join('\n'));
    }
  }
}

const KEYS = 6;
const EVENTS = 240;
const stormSeed = drawnSeed();
test(`a reader that dies at random loses nothing and gets nothing twice, while transactions commit late (seed ${stormSeed})`, {
  timeout: 120_000,
}, async () => {
  const random = seeded(stormSeed);
  const id = await subscribe('storm');
  const idB = await subscribe('storm', {}, server.keyB);
  const { plinth, tenantA, tenantB } = server.database;
  let written = 0;
  const writer = async (): Promise<void> => {
    while (written < EVENTS) {
      written += 1;
      const stream = { type: 'storm', id: String(Math.trunc(random() * KEYS)) };
      const lateMs = random() < 0.3 ? random() * 60 : 0;
      await plinth.transaction({ tenantId: random() < 0.9 ? tenantA : tenantB }, async (tx) => {
        await tx.events.append(stream, [{ type: 'storm.passed', data: { key: stream.id } }]);
        await plinth.wake.next([], lateMs);
      });
    }
  };
  let done = false;
  const writing = Promise.all(Array.from({ length: 6 }, writer)).then(() => {
    done = true;
  });
  // What a reader has made its own: the offset moves with the messages before it, and dying loses what was not yet noted.
  let noted = '-1';
  const seen: Pulled[] = [];
  // One that noted nothing is followed by one that lives longer: a machine on which a request takes more than 85 ms would read nothing at all.
  let longestMs = 80;
  const session = async (): Promise<void> => {
    const dies = AbortSignal.timeout(5 + Math.trunc(random() * longestMs));
    const live = random() < 0.5 ? 'sse' : 'long-poll';
    const headers = { authorization: `Bearer ${server.keyA}` };
    const response = await fetch(`${serving.origin}${address(id)}?offset=${noted}&live=${live}`, { headers, signal: dies });
    if (live === 'sse') {
      await readSse(response, (event, data) => {
        if (event !== 'data' || dies.aborted) return;
        const messages = JSON.parse(data) as Pulled[];
        seen.push(...messages);
        noted = messages.at(-1)?.offset ?? noted;
      });
    } else if (response.status === 200) {
      seen.push(...((await response.json()) as Pulled[]));
      noted = response.headers.get('stream-next-offset') ?? noted;
    }
  };
  const wanted = async (): Promise<string[]> =>
    (await server.database.admin.query(`select id from plinth_events.events where tenant_id = $1 and type = 'storm.passed'`, [tenantA])).rows.map(
      (row: { id: string }) => row.id,
    );
  const end = performance.now() + 90_000;
  while ((!done || seen.length < (await wanted()).length) && performance.now() < end) {
    const before = noted;
    await session().catch(() => undefined);
    longestMs = noted === before ? Math.min(longestMs * 1.5, 5_000) : 80;
  }
  await writing;
  expect(seen.map(({ event_id }) => event_id).sort()).toEqual((await wanted()).sort());
  expect(new Set(seen.map(({ webhook_id }) => webhook_id)).size).toBe(seen.length);
  const versions = (await server.database.admin.query('select id, aggregate_id, version from plinth_events.events where tenant_id = $1', [tenantA])).rows as {
    id: string;
    aggregate_id: string;
    version: string;
  }[];
  const versionOf = new Map(versions.map((row) => [row.id, row]));
  for (let key = 0; key < KEYS; key++) {
    const order = seen.flatMap(({ event_id }) => {
      const row = versionOf.get(event_id ?? '');
      return row?.aggregate_id === String(key) ? [Number(row.version)] : [];
    });
    expect(order).toEqual(order.map((_, nth) => nth + 1));
  }
  const ofB = (await server.call(address(idB), { key: server.keyB })).body as Pulled[];
  expect(ofB.every(({ event_id }) => !versionOf.has(event_id ?? ''))).toBe(true);
});
