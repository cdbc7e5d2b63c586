/** PostgreSQL fails over, in the middle of load, to a standby that commits wait for. Everything that was acknowledged is there, and every process goes on. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import { CrashingWorld, placeOrder, placeSchedule, receiveOrders } from './crash.fixture.ts';
import { faultsInTheEnd, insist } from './crash-faults.fixture.ts';

const SEED = drawnSeed();

/** What becomes of the primary: one of these, and both in a long run. */
const HOWS = (['killed', 'cut off'] as const).filter((_, n) => drawnRuns(1) > 1 || n === SEED % 2);

test.each(HOWS)(
  'what was acknowledged outlives a primary that is %s, and everything that follows from it happens once',
  {
    timeout: 300_000,
  },
  async (how) => {
    console.info(`seed ${SEED}`);
    const random = seeded(SEED);
    await using world = await CrashingWorld.make({ followed: true });
    await world.follow();
    const writer = world.plinth();
    await world.startWorkers(2);
    const [over, done] = [new AbortController(), new AbortController()];
    using ended = new DisposableStack();
    for (const one of [over, done]) ended.defer(() => one.abort());
    const acknowledged: string[] = [];
    const writing = world.tenants.map(async (tenantId, of) => {
      for (let n = 1; !over.signal.aborted; n++) {
        await insist(() => placeOrder(writer, tenantId, `k${of}`, n));
        acknowledged.push(`k${of} ${n}`);
        if (n % 6 === 0) await insist(() => placeSchedule(writer, tenantId, `s${n}`));
        await pause(random() * 60);
      }
    });
    const receiving = world.tenants.map((tenantId) => receiveOrders(world.plinth(), tenantId, done.signal));
    await pause(1_000 + random() * 1_000);
    await world.failOver(how);
    const before = acknowledged.length;
    await expect.poll(() => acknowledged.length).toBeGreaterThan(before + 10);
    over.abort();
    await Promise.all(writing);
    const found = await faultsInTheEnd(world);
    done.abort();
    await Promise.all(receiving);
    expect(found).toEqual({});
    const { rows } = await world.admin.query<{ order: string }>(`select key || ' ' || n as "order" from shop.orders`);
    expect(rows.map((row) => row.order).toSorted()).toEqual(acknowledged.toSorted());
  },
);
