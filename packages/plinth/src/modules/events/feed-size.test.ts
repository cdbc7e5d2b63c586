/** Large events, which one tenant may have published, come a few at a time: all of them, once and in order. */
import { afterAll, expect, test } from 'vitest';
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { Consumer } from '#kernel/work.ts';
import { testDatabase } from '#testing/database.ts';
import { api } from './api.ts';
import type { LivePage, LiveWindow } from './live.ts';
import { readLivePage, readLogState, readStreamPage } from './live.ts';

const database = await testDatabase('feed size');
const { plinth, admin, tenantA: a, tenantB: b } = database;
afterAll(() => database.drop());

const MEBIBYTE = 1_048_576;
const EVENTS = 40;
const batches: { tenantId: string; n: number; size: number }[][] = [];
let failing = false;
const consumer: Consumer = {
  summary: 'keeps the sizes',
  from: 'now',
  batchSize: 100,
  handle: async (_tx, events) => {
    if (failing && events.some(({ tenantId }) => tenantId === a)) throw new Error('not yet');
    batches.push(events.map(({ tenantId, data }) => ({ tenantId, n: Number(data.n), size: JSON.stringify(data).length })));
  },
};
/** Every other payload is one that the table compresses to nearly nothing. */
const publish = (tenantId: string) =>
  plinth.transaction({ tenantId }, (tx) =>
    tx.query(
      `select plinth.append_event('one', 'large', 'file.stored', jsonb_build_object('n', n, 'text', case when n % 2 = 0 then repeat('x', 700000)
         else (select string_agg(md5(random()::text), '') from generate_series(1, 22000)) end)) from generate_series(1, $1::integer) as n`,
      [EVENTS],
    ),
  );
const order = (tenantId: string) => batches.flat().flatMap((one) => (one.tenantId === tenantId ? [one.n] : []));
const largest = () => Math.max(...batches.map((events) => events.reduce((sum, { size }) => sum + size, 0)));
const wanted = Array.from({ length: EVENTS }, (_, n) => n + 1);
async function read(): Promise<void> {
  for (let quiet = 0; quiet < 2; ) quiet = (await consumeOnce(plinth, 'test.sizes', consumer).catch(() => -1)) === 0 ? quiet + 1 : 0;
}

test('live, and of those that wait beside the feed', { timeout: 120_000 }, async () => {
  await read();
  await publish(a);
  await publish(b);
  await read();
  for (const tenantId of [a, b]) expect(order(tenantId)).toEqual(wanted);
  expect(batches.length).toBeGreaterThan(4);
  expect(largest()).toBeLessThan(9 * MEBIBYTE);

  batches.length = 0;
  failing = true;
  await publish(a);
  await read();
  expect(batches).toEqual([]);
  failing = false;
  await admin.query(`update plinth_events.parked set retry_at = null where consumer = 'test.sizes'`);
  await consumeParked(plinth, 'test.sizes', consumer);
  expect(order(a)).toEqual(wanted);
  expect(largest()).toBeLessThan(9 * MEBIBYTE);
  expect((await admin.query(`select from plinth_events.parked where consumer = 'test.sizes' and ended_at is null`)).rowCount).toBe(0);
});

test('to those who listen, payloads and metadata, also where the table holds next to nothing of them', { timeout: 60_000 }, async () => {
  const { snapshot, above } = await plinth.asWorker({}, readLogState);
  for (const tenantId of [a, b])
    await plinth.transaction({ tenantId }, (tx) =>
      tx.query(
        `select plinth.publish_event('file.told', jsonb_build_object('n', n, 'text', repeat('x', 400000)), p_metadata => jsonb_build_object('more', repeat('y', 400000))) from generate_series(1, 10) as n`,
      ),
    );
  let window: LiveWindow = { s1: snapshot, last: '0' };
  const pages: LivePage[] = [];
  for (let full = true; full; ) {
    const page = await readLivePage(plinth as unknown as Plinth<ModuleMap>, window, above, 500);
    pages.push(page);
    full = page.full;
    window = { s1: snapshot, s2: page.s2, last: page.events.at(-1)?.position ?? '0' };
  }
  const told = pages.flatMap(({ events }) => events).filter(({ type }) => type === 'file.told');
  for (const tenantId of [a, b]) expect(told.filter((event) => event.tenantId === tenantId)).toHaveLength(10);
  for (const { events } of pages)
    expect(events.reduce((sum, { payload, metadata }) => sum + payload.length + (metadata ?? '').length, 0)).toBeLessThan(2.1 * MEBIBYTE);
});

test('by the page of a stream, in both directions, and of all events, to whoever asks for more', { timeout: 60_000 }, async () => {
  const actor = { type: 'user', id: 'reader' } as const;
  const context: CallContext = {
    principal: { actor, tenantId: a, roles: [], scopes: ['events.*'], operator: false },
    correlationId: plinth.newId(),
    adapters: {},
    run: (one, body) => plinth.transaction({ tenantId: a, actor, readOnly: one.type === 'query' }, body),
  };
  const caller = createCaller(router(api))(context);
  for (const direction of ['forward', 'backward'] as const) {
    const versions: number[] = [];
    for (let from: number | undefined = direction === 'forward' ? 1 : 2 * EVENTS; from !== undefined; ) {
      const page: { events: { version: unknown }[]; next_version: number | null } = await caller.stream({
        type: 'large',
        id: 'one',
        direction,
        from_version: from,
        limit: 1_000,
      });
      expect(page.events.length).toBeLessThan(13);
      versions.push(...page.events.map(({ version }) => Number(version)));
      from = page.next_version ?? undefined;
    }
    const all = Array.from({ length: 2 * EVENTS }, (_, n) => n + 1);
    expect(versions).toEqual(direction === 'forward' ? all : all.reverse());
  }
  let exported = 0;
  for (let after: string | null | undefined; after !== null; ) {
    const page: { events: unknown[]; next: string | null } = await caller.exportCloudEvents({ type: 'file.stored', limit: 1_000, ...(after ? { after } : {}) });
    expect(page.events.length).toBeLessThan(13);
    exported += page.events.length;
    after = page.next;
  }
  expect(exported).toBe(2 * EVENTS);
  const { tail, events } = await plinth.transaction({ tenantId: a }, (tx) => readStreamPage(tx, { type: 'large', id: 'one' }, '10', 1_000));
  expect(tail).toBe(String(2 * EVENTS));
  expect(events.length).toBeLessThan(13);
  expect(JSON.parse(events[0]?.text ?? '')).toMatchObject({ version: 11, event_type: 'file.stored' });
});
