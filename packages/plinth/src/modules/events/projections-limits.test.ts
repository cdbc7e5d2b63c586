/** A rebuild in a database whose limits are those of requests. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { declareProjections, projectionConsumer } from '#kernel/projection.ts';
import { rebuildProjection } from '#kernel/projection-rebuild.ts';
import { testDatabase } from '#testing/database.ts';
import { SHOP, shopOf, totalsOf } from './projections.fixture.ts';

const database = await testDatabase('projections limits');
const { admin, name, plinth, tenantA } = database;
let release: () => void = () => undefined;
const gate = new Promise<void>((resolve) => {
  release = resolve;
});
const totals = totalsOf(2);
const slow = { ...totals, handle: async (...given: Parameters<typeof totals.handle>) => gate.then(() => totals.handle(...given)) };
const old = shopOf(database.serverUrl, totalsOf(1));
const fresh = shopOf(database.serverUrl, slow);
beforeAll(async () => {
  await admin.query(SHOP);
  await declareProjections(old);
  // Its cursors are there from its first turn on.
  await consumeOnce(old, 'shop.totals', projectionConsumer('shop.totals', totalsOf(1)));
});
afterAll(async () => {
  release();
  await Promise.all([old.close(), fresh.close()]);
  await database.drop();
});

const session = async (state: string) =>
  (
    await admin.query(
      `select from pg_stat_activity where datname = current_database() and application_name = 'plinth projections' and ${state} and clock_timestamp() - state_change > interval '1500 milliseconds'`,
    )
  ).rowCount;

test('goes on however long it reads the log and waits for others', { timeout: 120_000 }, async () => {
  await plinth.transaction(
    { tenantId: tenantA },
    async (tx) => void Array.from({ length: 300 }, (_, n) => tx.events.publish('order.paid', { order: `${n}`, cents: 1 })),
  );
  const holder = await admin.connect();
  await holder.query('begin');
  for (const limit of ['idle_session_timeout', 'statement_timeout', 'lock_timeout']) await admin.query(`alter database ${name} set ${limit} = '1s'`);
  const rebuilt = rebuildProjection(fresh, 'shop.totals', { ownerUrl: database.url });
  rebuilt.catch(() => {});
  try {
    // While the log is read, the connection that swaps has nothing to do.
    await expect.poll(() => session(`state = 'idle'`), { timeout: 20_000 }).toBe(1);
    await holder.query(`select from plinth_kernel.feed_cursors where consumer = 'shop.totals' for update`);
    release();
    await expect.poll(() => session(`wait_event_type = 'Lock'`), { timeout: 20_000 }).toBe(1);
  } finally {
    await holder.query('commit');
    holder.release();
  }
  expect(await rebuilt).toMatchObject({ swapped: true });
  expect((await admin.query('select count(*)::int as n from shop.totals')).rows).toEqual([{ n: 300 }]);
});
