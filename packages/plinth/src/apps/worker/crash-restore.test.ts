/** PostgreSQL is set back to a moment, from a base backup and archived WAL, while processes that know of later things go on. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { drawnSeed, seeded } from '#testing/random.ts';
import { CrashingWorld, placeOrder, placeSchedule, receiveOrders } from './crash.fixture.ts';
import { faultsInTheEnd, insist } from './crash-faults.fixture.ts';

const SEED = drawnSeed();

test('what the restored database holds is worked off, once, by processes that ran on; what came later is gone', {
  timeout: 600_000,
}, async () => {
  const random = seeded(SEED);
  await using world = await CrashingWorld.make({ archived: true });
  const writer = world.plinth();
  await world.startWorkers(2);
  const written = new AbortController();
  const done = new AbortController();
  const writing = world.tenants.map(async (tenantId, of) => {
    for (let n = 1; !written.signal.aborted; n++) {
      await insist(() => placeOrder(writer, tenantId, `k${of}`, n));
      if (n % 4 === 0) await insist(() => placeSchedule(writer, tenantId, `s${n}`));
      await pause(random() * 60);
    }
  });
  const receiving = world.tenants.map((tenantId) => receiveOrders(world.plinth(), tenantId, done.signal));
  const latest = async (): Promise<{ position: number; orders: number; epochs: number[] }> =>
    (
      await world.admin.query(`select (select max(position)::int from plinth_events.events) as position, (select count(*)::int from shop.orders) as orders,
        array(select epoch from plinth_kernel.feed_epochs where feed = 'plinth_events.events' order by 1) as epochs`)
    ).rows[0];
  await pause(500);
  await world.backup();
  await pause(1_000);
  await world.markMoment('noon');
  await pause(1_500 + random() * 500);
  const before = await latest();
  await world.restoreTo('noon');
  const after = await latest();
  console.info(`seed ${SEED}: set back from ${before.orders} orders to ${after.orders}`);
  expect(after.orders).toBeLessThan(before.orders);
  await pause(1_500);
  written.abort();
  await Promise.all(writing);
  const found = await faultsInTheEnd(world);
  done.abort();
  await Promise.all(receiving);
  const end = await latest();
  expect(end.epochs).toEqual(before.epochs);
  expect(found).toEqual({});
  expect(end.orders).toBeGreaterThan(after.orders);
});
