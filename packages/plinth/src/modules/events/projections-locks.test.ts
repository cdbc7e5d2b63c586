/** A rebuild among transactions that stay open: it waits for them, and nobody waits for it. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { declareProjections, projectionConsumer } from '#kernel/projection.ts';
import { cancelRebuild, rebuildProjection } from '#kernel/projection-rebuild.ts';
import { testDatabase } from '#testing/database.ts';
import { SHOP, shopOf, totalsOf } from './projections.fixture.ts';

const database = await testDatabase('projections locks');
const { admin, plinth, tenantA: a, tenantB: b } = database;
const live = totalsOf(1);
const old = shopOf(database.serverUrl, live);
const fresh = shopOf(database.serverUrl, totalsOf(2, 10));
beforeAll(async () => {
  await admin.query(`${SHOP}; grant select, update on shop.sorts to plinth_app`);
  await declareProjections(old);
});
afterAll(async () => {
  await Promise.all([old.close(), fresh.close()]);
  await database.drop();
});
let release: () => Promise<unknown> = async () => undefined;
afterEach(() => release());

/** A transaction of tenant A that has done this, until it is released. */
async function leftOpen(statement: string): Promise<void> {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const open = plinth.transaction({ tenantId: a }, async (tx) => {
    await tx.query(statement);
    reached.resolve();
    await released.promise;
  });
  release = () => {
    released.resolve();
    return open;
  };
  await Promise.race([reached.promise, open]);
}
const asB = <Row>(statement: string, values: unknown[] = []): Promise<Row[]> =>
  plinth.transaction({ tenantId: b, timeoutMs: 15_000 }, (tx) => tx.query<Row>(statement, values));
async function centsOf(order: string): Promise<string | undefined> {
  await consumeOnce(old, 'shop.totals', projectionConsumer('shop.totals', live));
  return (await asB<{ cents: string }>('select cents from shop.totals where order_id = $1', [order]))[0]?.cents;
}
const waiting = async () =>
  (await admin.query(`select from pg_stat_activity where application_name = 'plinth projections' and wait_event_type = 'Lock'`)).rowCount;

test.each([
  ['reads the table', 'select from shop.totals'],
  ['writes what the table refers to', `update shop.sorts set sort = sort where sort = 'other'`],
])('a transaction that %s and stays open keeps a rebuild waiting, and nobody else', { timeout: 120_000 }, async (what, statement) => {
  await leftOpen(statement);
  const rebuilt = rebuildProjection(fresh, 'shop.totals', { ownerUrl: database.url, onDifference: 'swap' });
  rebuilt.catch(() => {});
  await expect.poll(waiting, { timeout: 20_000, interval: 20 }).toBe(1);
  await plinth.transaction({ tenantId: b }, async (tx) => void tx.events.publish('order.paid', { order: what, cents: 5 }));
  // Reads the table each time, and needs the cursors.
  await expect.poll(() => centsOf(what), { timeout: 30_000 }).toBe('5');
  await asB(`update shop.sorts set sort = sort where sort = 'none'`);
  await release();
  expect(await rebuilt).toMatchObject({ swapped: true });
  expect(await centsOf(what)).toBe('50');
});

test('a rebuild that waits to swap can be cancelled, and leaves nothing', { timeout: 120_000 }, async () => {
  await leftOpen('select from shop.totals');
  const before = await admin.query(`select oid from pg_class where oid = 'shop.totals'::regclass`);
  const rebuilt = rebuildProjection(fresh, 'shop.totals', { ownerUrl: database.url, onDifference: 'swap' });
  rebuilt.catch(() => {});
  await expect.poll(waiting, { timeout: 20_000, interval: 20 }).toBe(1);
  expect(await cancelRebuild(fresh, 'shop.totals', 'a mistake', database.url)).toBe(false);
  await expect(rebuilt).rejects.toMatchObject({ code: 'kernel_projection_cancelled', message: expect.stringContaining('a mistake') });
  await release();
  expect((await admin.query(`select oid from pg_class where oid = to_regclass('shop.totals') and to_regclass('shop.totals__shadow') is null`)).rows).toEqual(
    before.rows,
  );
  expect((await admin.query(`select from plinth_kernel.feed_cursors where consumer like '%rebuild'`)).rowCount).toBe(0);
});
