/** Large events, which one tenant may have published, come a few at a time: all of them, once and in order. */
import { afterAll, expect, test } from 'vitest';
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { Consumer } from '#kernel/work.ts';
import { testDatabase } from '#testing/database.ts';

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
