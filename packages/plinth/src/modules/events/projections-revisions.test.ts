/** What `plinth.projections` says of tables that code of several revisions wrote, or that somebody made whose code is not that of the processes. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { declareProjections, projectionConsumer } from '#kernel/projection.ts';
import { rebuildProjection } from '#kernel/projection-rebuild.ts';
import { testDatabase } from '#testing/database.ts';
import { SHOP, shopOf, totalsOf } from './projections.fixture.ts';

const database = await testDatabase('projections revisions');
const { admin, plinth, tenantA } = database;
/** A system of a revision, which makes as many cents of one. */
function systemOf(revision: number) {
  const projection = totalsOf(revision, revision);
  const shop = shopOf(database.serverUrl, projection);
  return {
    shop,
    start: () => declareProjections(shop),
    goOn: () => declareProjections(shop, 'running'),
    rebuild: () => rebuildProjection(shop, 'shop.totals', { ownerUrl: database.url }),
    async pay(order: string): Promise<void> {
      await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('order.paid', { order, cents: 1 }));
      while ((await consumeOnce(shop, 'shop.totals', projectionConsumer('shop.totals', projection))) > 0);
    },
  };
}
const first = systemOf(1);
const second = systemOf(2);
beforeAll(() => admin.query(SHOP));
afterAll(async () => {
  await Promise.all([first.shop.close(), second.shop.close()]);
  await database.drop();
});
/** A process of revision 1 that has written. */
beforeEach(async () => {
  await admin.query(
    'set session_replication_role = replica; truncate shop.totals, shop.counts, plinth_kernel.feed_projections, plinth_events.events; reset session_replication_role',
  );
  await first.start();
  await first.pay('a');
  expect(await cents()).toEqual([1]);
  expect(await state()).toBe('live, made by 1, run by 1');
});

async function state(): Promise<string> {
  const { rows } = await admin.query<{ text: string }>(
    `select format('%s, made by %s, run by %s', status, coalesce(revision, 'several'), declared_revision) as text from plinth.projections`,
  );
  return rows[0]?.text ?? 'unknown';
}
const cents = async (): Promise<number[]> =>
  (await admin.query<{ cents: number }>('select cents::int from shop.totals order by order_id')).rows.map((row) => row.cents);

test('a rebuild by code that is older than that of the processes leaves it stale: they go on with theirs', async () => {
  await second.start();
  expect(await first.rebuild()).toMatchObject({ swapped: true, formerRevision: '1', declaredRevision: '2' });
  await second.pay('b');
  expect(await cents()).toEqual([1, 2]);
  expect(await state()).toBe('stale, made by 1, run by 2');
  expect(await second.rebuild()).toMatchObject({ swapped: true, declaredRevision: '2' });
  expect(await cents()).toEqual([2, 2]);
  expect(await state()).toBe('live, made by 2, run by 2');
});

test('a rebuild by code that is newer than that of the processes leaves it stale, also when they are replaced: they may have written in between', async () => {
  expect(await second.rebuild()).toMatchObject({ swapped: true, revision: '2', declaredRevision: '1' });
  expect(await state()).toBe('stale, made by 2, run by 1');
  await first.pay('b');
  await second.start();
  expect(await cents()).toEqual([2, 1]);
  expect(await state()).toBe('stale, made by several, run by 2');
  await second.rebuild();
  expect(await cents()).toEqual([2, 2]);
  expect(await state()).toBe('live, made by 2, run by 2');
});

test('a rebuild by code that is newer than that of the processes holds when they had ended before it and are replaced then', async () => {
  await second.rebuild();
  await second.start();
  expect(await state()).toBe('live, made by 2, run by 2');
});

test('a deployment that was taken back leaves it stale, and a rebuild is not held to what both have written', async () => {
  await second.start();
  await second.pay('b');
  await first.start();
  expect(await state()).toBe('stale, made by several, run by 1');
  expect(await first.rebuild()).toMatchObject({ swapped: true, formerRevision: null, comparison: [{ equal: false }, { equal: true }] });
  expect(await cents()).toEqual([1, 1]);
  expect(await state()).toBe('live, made by 1, run by 1');
});

test('a process of another revision that is still there after a rebuild makes it stale and does not pass for the one that runs, until it alone is left', async () => {
  await second.start();
  await first.goOn();
  expect(await state()).toBe('stale, made by 1, run by 2');
  await second.rebuild();
  await first.goOn();
  expect(await state()).toBe('stale, made by several, run by 2');
  await second.rebuild();
  await second.goOn();
  expect(await state()).toBe('live, made by 2, run by 2');
  await admin.query(`update plinth_kernel.feed_projections set declared_at = declared_at - interval '3 hours'`);
  await first.goOn();
  expect(await state()).toBe('stale, made by 2, run by 1');
});

test('who only looks says nothing of the code that runs; where no process ever did, a rebuild speaks for it', async () => {
  await declareProjections(second.shop, 'visitor');
  expect(await state()).toBe('live, made by 1, run by 1');
  await admin.query('delete from plinth_kernel.feed_projections');
  await declareProjections(first.shop, 'visitor');
  expect(await second.rebuild()).toMatchObject({ swapped: true, revision: '2', declaredRevision: '2' });
  expect(await state()).toBe('live, made by 2, run by 2');
});
