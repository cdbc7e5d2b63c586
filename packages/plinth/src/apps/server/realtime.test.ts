/** /realtime over Server-Sent Events, against the real server and database. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { readSnapshot, readTenantPage } from '#modules/events';
import type { Listening, Reader } from './realtime.fixture.ts';
import { eventually, listening, read } from './realtime.fixture.ts';
import { createRealtime } from './realtime-hub.ts';
import { readOffset, writeOffset } from './realtime-offset.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
let http: Listening;
beforeAll(async () => {
  server = await testServer('realtime', { realtime: { heartbeatMs: 300, checkMs: 500, mostPerTenant: 40, bufferBytes: 256 * 1024 } });
  http = await listening(server);
});
afterAll(async () => {
  server.handler.endStreams();
  await http.close();
  await server.close();
});

const inTenant = (tenantId: string) => ({
  publish: (type: string, ...numbers: number[]) =>
    server.database.plinth.transaction({ tenantId }, async (tx) => void numbers.map((n) => tx.events.publish(type, { n, tenant: tenantId }))),
  append: (id: string, ...numbers: number[]) =>
    server.database.plinth.transaction(
      { tenantId },
      async (tx) =>
        void tx.events.append(
          { type: 'order', id },
          numbers.map((n) => ({ type: 'order.changed', data: { n } })),
        ),
    ),
});

describe('topics', () => {
  test('a reader hears what it asked for, of its tenant and no other, in the order of the log', async () => {
    const [a, b] = [inTenant(server.database.tenantA), inTenant(server.database.tenantB)];
    const all = await http.listen({ key: server.keyA });
    const orders = await http.listen({ key: server.keyA, topics: ['events/order.*'] });
    const stream = await http.listen({ key: server.keyA, topics: ['stream/order/o%2F1'] });
    const other = await http.listen({ key: server.keyB });
    await b.publish('order.created', 100);
    await a.publish('order.created', 1);
    await a.publish('invoice.created', 2);
    await a.append('o/1', 3, 4);
    await a.append('o', 5);
    await b.append('o/1', 101);
    await all.until(({ numbers }) => numbers.length === 5);
    await other.until(({ numbers }) => numbers.length === 2);
    await stream.until(({ numbers }) => numbers.length === 2);
    await orders.until(({ numbers }) => numbers.length === 4);
    expect(all.numbers).toEqual([1, 2, 3, 4, 5]);
    expect(orders.numbers).toEqual([1, 3, 4, 5]);
    expect(stream.numbers).toEqual([3, 4]);
    expect(other.numbers).toEqual([100, 101]);
    expect(JSON.stringify([all.told, orders.told, stream.told])).not.toContain(server.database.tenantB);
    expect(stream.told.findLast(({ event }) => event === 'event')).toMatchObject({
      id: expect.any(String),
      data: { event_type: 'order.changed', aggregate_id: 'o/1', version: 2 },
    });
    const outside = all.told.find(({ event, data }) => event === 'event' && (data as { event_type?: string }).event_type === 'invoice.created');
    expect(outside?.data, 'what is null is left out').not.toHaveProperty('aggregate_id');
    expect(Object.values(outside?.data ?? {})).not.toContain(null);
    for (const one of [all, orders, stream, other]) one.close();
  });

  test('an event is told when it has committed, and never when it was rolled back', async () => {
    const reader = await http.listen({ key: server.keyA, topics: ['events/held.#'] });
    await server.database.plinth
      .transaction({ tenantId: server.database.tenantA }, async (tx) => {
        tx.events.publish('held.never', { n: 1 });
        await tx.flush();
        throw new Error('changed my mind');
      })
      .catch(() => {});
    await inTenant(server.database.tenantA).publish('held', 2);
    await reader.until(({ numbers }) => numbers.length > 0);
    expect(reader.numbers).toEqual([2]);
    reader.close();
  });
});

describe('coming back', () => {
  test('with the id of the last frame a reader gets what it has missed, once, also in the middle of a transaction that published many', async () => {
    const a = inTenant(server.database.tenantA);
    const numbers = Array.from({ length: 20 }, (_, n) => n);
    const reader = await http.listen({ key: server.keyA, topics: ['events/back.*'] });
    await a.publish('back.one', ...numbers);
    await reader.until((one) => one.numbers.length === 20);
    reader.close();
    await a.publish('back.one', 20, 21);
    for (const cut of [0, 7, 19]) {
      const { id } = reader.told.filter(({ event }) => event === 'event')[cut] ?? {};
      const again = await http.listen({ key: server.keyA, topics: ['events/back.*'], headers: { 'last-event-id': id ?? '' } });
      await again.until((one) => one.numbers.length >= 21 - cut);
      expect(again.told[0]).toMatchObject({ event: 'ready', data: { resumed: true } });
      expect(again.numbers).toEqual([...numbers, 20, 21].slice(cut + 1));
      again.close();
    }
  });

  test('from the offset of a long while ago, page after page, into the present', async () => {
    const a = inTenant(server.database.tenantA);
    const reader = await http.listen({ key: server.keyA, topics: ['events/many'] });
    const { lastId } = reader;
    reader.close();
    for (let batch = 0; batch < 13; batch++) await a.publish('many', ...Array.from({ length: 100 }, (_, n) => batch * 100 + n));
    const again = http.listen({ key: server.keyA, topics: ['events/many'], offset: lastId });
    for (let batch = 13; batch < 20; batch++) await a.publish('many', ...Array.from({ length: 100 }, (_, n) => batch * 100 + n));
    await (await again).until((one) => one.numbers.length >= 2_000);
    expect((await again).numbers).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
    (await again).close();
  });

  test('events of a megabyte come in pages of a few, each once', async () => {
    const before = await http.listen({ key: server.keyA, topics: ['events/large'] });
    const offset = before.lastId;
    before.close();
    // What does not compress is stored as large as it is.
    const large = (): string => randomBytes(675_000).toString('base64');
    await server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => {
      for (let n = 0; n < 7; n++) {
        tx.events.publish('large', { n, large: large() });
        await tx.flush();
      }
    });
    const after = await http.listen({ key: server.keyA, topics: ['events/large'], offset });
    await after.until(({ numbers }) => numbers.length === 7);
    expect(after.numbers).toEqual([0, 1, 2, 3, 4, 5, 6]);
    after.close();
    const state = readOffset(offset ?? '');
    const { plinth, tenantA } = server.database;
    const pages: number[] = [];
    for (let last = state?.window.last ?? '0', full = true; full; ) {
      const page = await plinth.transaction({ tenantId: tenantA }, async (tx) =>
        readTenantPage(tx, { s1: state?.window.s2 ?? state?.window.s1 ?? '', s2: await readSnapshot(tx), last }, '0', 500),
      );
      pages.push(page.events.length);
      ({ full } = page);
      last = page.events.at(-1)?.position ?? last;
    }
    expect(pages).toEqual([2, 2, 2, 1]);
  });

  test('a sign of life moves the offset of a reader that hears nothing', async () => {
    const quiet = await http.listen({ key: server.keyA, topics: ['events/never.happens'] });
    const first = quiet.lastId;
    await inTenant(server.database.tenantA).publish('something.else', 1);
    await quiet.until((one) => one.lastId !== first);
    quiet.close();
  });

  test('a transaction that was open meanwhile is told when it commits, holds nobody up, and is not lost to readers that come back', async () => {
    const { plinth, tenantA } = server.database;
    const a = inTenant(tenantA);
    const reader = await http.listen({ key: server.keyA, topics: ['events/late.#'] });
    const [opened, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const long = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.events.publish('late.long', { n: 1 });
      await tx.flush();
      opened.resolve();
      await commit.promise;
    });
    await opened.promise;
    await a.publish('late.short', 2);
    await a.publish('late.short', 3);
    await reader.until(({ numbers }) => numbers.length === 2, 'events are told beside an open transaction');
    const between = reader.told.filter(({ event }) => event === 'event')[0]?.id;
    commit.resolve();
    await long;
    await reader.until(({ numbers }) => numbers.length === 3);
    expect(reader.numbers).toEqual([2, 3, 1]);
    const again = await http.listen({ key: server.keyA, topics: ['events/late.#'], offset: between });
    await again.until(({ numbers }) => numbers.length === 2);
    expect([...again.numbers].sort()).toEqual([1, 3]);
    reader.close();
    again.close();
  });
});

describe('what is not in the page that was loaded', () => {
  test('is told from the offset that came with it: nothing falls between', async () => {
    const { plinth, tenantA } = server.database;
    const [opened, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const long = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.events.append({ type: 'page', id: 'p' }, [{ type: 'page.changed', data: { n: 1 } }]);
      await tx.flush();
      opened.resolve();
      await commit.promise;
    });
    await opened.promise;
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.append({ type: 'page', id: 'q' }, [{ type: 'page.changed', data: { n: 2 } }]));
    const page = await server.call('/api/v1/lists/events/events?q=event_type:page.changed', { key: server.keyA, headers: { 'plinth-offset': '?1' } });
    commit.resolve();
    await long;
    const seen = (page.body as { rows: { aggregate_id: string }[] }).rows.map((record) => record.aggregate_id);
    const reader = await http.listen({ key: server.keyA, topics: ['events/page.*'], offset: page.headers.get('plinth-offset') ?? '' });
    await reader.until(({ numbers }) => numbers.length > 0);
    expect(seen).toEqual(['q']);
    expect(reader.numbers).toEqual([1]);
    reader.close();
  });

  test('an answer has an offset only when it was asked for', async () => {
    expect((await server.call('/api/v1/me', { key: server.keyA })).headers.get('plinth-offset')).toBeNull();
    const refused = await server.call('/api/v1/me', { key: server.keyA, headers: { 'plinth-offset': 'yes' } });
    expect(refused).toMatchObject({ status: 400, body: { code: 'kernel_header_invalid' } });
  });
});

describe('continuity that cannot be given', () => {
  const offsetOf = async (change: (offset: NonNullable<ReturnType<typeof readOffset>>) => void): Promise<string> => {
    const reader = await http.listen({ key: server.keyA });
    const offset = readOffset(reader.lastId ?? '');
    reader.close();
    if (!offset) throw new Error('the id is no offset');
    change(offset);
    return writeOffset(offset);
  };
  test.each([
    ['log_changed', (offset: { epoch: number }) => void (offset.epoch += 1)],
    ['log_changed', (offset: { timeline: number }) => void (offset.timeline += 1)],
    ['retention', (offset: { atMs: number }) => void (offset.atMs = 1)],
    ['unknown_offset', (offset: { window: { s1: string } }) => void (offset.window.s1 = '900000000000:900000000000:')],
  ])('is told as a reset (%s), and the stream goes on from where the log stands', async (reason, change) => {
    const reader = await http.listen({ key: server.keyA, topics: ['events/after.reset'], offset: await offsetOf(change as never) });
    expect(reader.told[0]).toMatchObject({ event: 'reset', id: expect.any(String), data: { reason, offset: expect.any(String) } });
    await inTenant(server.database.tenantA).publish('after.reset', 7);
    await reader.until(({ numbers }) => numbers.length === 1);
    reader.close();
  });
});

describe('a Last-Event-ID', () => {
  test('that cannot be read is told as a reset: a browser sends what it was told, by another version maybe, and gives up for good when it is refused', async () => {
    const reader = await http.listen({ key: server.keyA, topics: ['events/unread'], headers: { 'last-event-id': 'of another form' } });
    expect(reader.told[0]).toMatchObject({ event: 'reset', id: expect.any(String), data: { reason: 'unknown_offset' } });
    await inTenant(server.database.tenantA).publish('unread', 7);
    await reader.until(({ numbers }) => numbers.length === 1);
    reader.close();
  });

  test('of a reader in another tenant brings only what is of the own', async () => {
    const [a, b] = [inTenant(server.database.tenantA), inTenant(server.database.tenantB)];
    const of = await http.listen({ key: server.keyA, topics: ['events/foreign'] });
    await a.publish('foreign', 1, 2);
    await b.publish('foreign', 101);
    await of.until(({ numbers }) => numbers.length === 2);
    const first = of.told.find(({ event }) => event === 'event')?.id ?? '';
    of.close();
    const other = await http.listen({ key: server.keyB, topics: ['events/foreign'], headers: { 'last-event-id': first } });
    await b.publish('foreign', 102);
    await other.until(({ numbers }) => numbers.includes(102));
    expect(other.numbers).toEqual([101, 102]);
    expect(JSON.stringify(other.told)).not.toContain(server.database.tenantA);
    other.close();
  });
});

describe('who may hear', () => {
  test.each([
    ['no credential', { headers: { authorization: '' } }, 401, 'kernel_unauthenticated'],
    ['a topic that is none', { topics: ['orders'] }, 400, 'kernel_topic_invalid'],
    ['a pattern that is none', { topics: ['events/order..x'] }, 400, 'kernel_topic_invalid'],
    ['no topic', { topics: [] }, 400, 'kernel_topic_invalid'],
    ['too many topics', { topics: Array.from({ length: 101 }, (_, n) => `events/t${n}`) }, 400, 'kernel_topic_invalid'],
    ['a stream without an id', { topics: ['stream/order'] }, 400, 'kernel_topic_invalid'],
    ['a stream with a stray %', { topics: ['stream/order/%zz'] }, 400, 'kernel_topic_invalid'],
    ['an offset that is none', { offset: 'nonsense!' }, 400, 'kernel_offset_invalid'],
    ['an offset cut short', { offset: 'AQEB' }, 400, 'kernel_offset_invalid'],
  ])('%s is refused', async (_what, options, status, code) => {
    const response = await http.get({ key: server.keyA, ...options } as never);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code, way_out: expect.any(String) });
  });

  test('a key without events.read is refused', async () => {
    const { secret } = await server.makeKey(server.database.tenantA, ['jobs.read']);
    const response = await http.get({ key: secret });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'kernel_forbidden', detail: expect.any(String) });
  });

  test('an operator names the tenant and says why', async () => {
    const [{ status }, reader] = await Promise.all([
      http.get({ key: server.operator, headers: { 'x-plinth-tenant': server.database.tenantB } }),
      http.listen({
        key: server.operator,
        headers: { 'x-plinth-tenant': server.database.tenantB, 'x-plinth-reason': 'support' },
        topics: ['events/for.operator'],
      }),
    ]);
    expect(status).toBe(400);
    await inTenant(server.database.tenantA).publish('for.operator', 1);
    await inTenant(server.database.tenantB).publish('for.operator', 2);
    await reader.until(({ numbers }) => numbers.length > 0);
    expect(reader.numbers).toEqual([2]);
    reader.close();
  });

  test('a key that is revoked hears no more', async () => {
    const { id, secret } = await server.makeKey(server.database.tenantA, ['events.read']);
    const [reader, stays] = await Promise.all([http.listen({ key: secret }), http.listen({ key: server.keyA })]);
    const revoked = await server.call(`/api/v1/keys/${id}`, { method: 'DELETE', key: server.keyA });
    expect(revoked.status).toBe(200);
    await reader.until(({ ended }) => ended !== undefined);
    expect(reader.told.at(-1)).toMatchObject({ event: 'failure', data: { code: 'access_key_revoked', status: 401 } });
    expect(stays.ended).toBeUndefined();
    stays.close();
  });

  test('who may do what in one tenant is changed: connections of others are not looked at', async () => {
    const { plinth, tenantA, tenantB } = server.database;
    const silent = { info() {}, warn() {}, error() {} };
    const realtime = createRealtime(plinth as unknown as Plinth<ModuleMap>, silent, { checkMs: 3_600_000 });
    const looks = { a: 0, b: 0 };
    const sink = { waiting: 0, write: () => 0, end() {}, destroy() {}, drained: async () => true };
    const take = (tenantId: string, tenant: 'a' | 'b') => realtime.take({ tenantId, topics: [], offset: undefined, check: async () => void looks[tenant]++ });
    const places = [await take(tenantA, 'a'), await take(tenantB, 'b')];
    for (const place of places) place.attach('sse', sink);
    await server.makeKey(tenantA, ['events.read']);
    await expect.poll(() => looks).toEqual({ a: 1, b: 0 });
    // Of all tenants: one is made.
    await server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug: 'looked-at', name: 'L' } });
    await expect.poll(() => looks).toEqual({ a: 2, b: 1 });
    for (const place of places) place.leave();
    realtime.end();
  });
});

describe('bounds', () => {
  test('a tenant has so many connections and no more, and another tenant is not touched by it', async () => {
    const readers: Reader[] = [];
    const take = async (): Promise<Response> => {
      const abort = new AbortController();
      const response = await fetch(`${http.origin}/realtime?topic=events/%23`, { headers: { authorization: `Bearer ${server.keyB}` }, signal: abort.signal });
      if (response.status === 200) readers.push(read(response, abort));
      return response;
    };
    // Places of readers that have only just left may still be taken.
    await eventually(async () => {
      await take();
      return readers.length === 40;
    }, '40 connections are open');
    const refused = await take();
    expect(readers).toHaveLength(40);
    expect(await refused.json()).toMatchObject({ code: 'kernel_streams_of_tenant', status: 429 });
    expect(refused.headers.get('retry-after')).toBe('5');
    const other = await http.listen({ key: server.keyA });
    for (const one of [...readers, other]) one.close();
    await eventually(async () => {
      const response = await http.get({ key: server.keyB });
      await response.body?.cancel();
      return response.status === 200;
    }, 'places are given back');
  });

  test('a reader that takes nothing is dropped, others go on, and it comes back without a gap', async () => {
    const a = inTenant(server.database.tenantA);
    const abort = new AbortController();
    const slow = await fetch(`${http.origin}/realtime?topic=events/wide`, { headers: { authorization: `Bearer ${server.keyA}` }, signal: abort.signal });
    const quick = await http.listen({ key: server.keyA, topics: ['events/wide'] });
    const wide = 'x'.repeat(40_000);
    let sent = 0;
    await eventually(async () => {
      await server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => {
        for (let n = 0; n < 20; n++) tx.events.publish('wide', { n: sent++, wide });
      });
      return server.logged.some((line) => line.includes('too slow'));
    }, 'the slow reader is dropped');
    await a.publish('wide', sent++);
    await quick.until(({ numbers }) => numbers.length === sent);
    expect(quick.numbers).toEqual(Array.from({ length: sent }, (_, n) => n));
    const late = read(slow, abort);
    await late.until(({ ended }) => ended !== undefined);
    const again = await http.listen({ key: server.keyA, topics: ['events/wide'], offset: late.lastId });
    await again.until(({ numbers }) => numbers.at(-1) === sent - 1);
    expect([...late.numbers, ...again.numbers]).toEqual(Array.from({ length: sent }, (_, n) => n));
    quick.close();
    again.close();
  });
});
