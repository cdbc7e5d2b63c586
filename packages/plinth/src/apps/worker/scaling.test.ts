/** Slots that follow the load: the decisions by numbers alone, then one worker with real jobs. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { startWorker } from './index.ts';
import type { Load, Scaling } from './scaling.ts';
import { expectedWaitMs, initialScaling, scale } from './scaling.ts';
import { workersOf } from './started.fixture.ts';

const limits = { min: 2, max: 40, targetMs: 500 };
const busy = (slots: number): Partial<Load> => ({ peak: slots, waitMs: 5_000 });

/** Feeds looks, 250 ms apart, and tells how many slots there were after each. */
function run(looks: number, load: (slots: number, look: number) => Partial<Load>, from: Scaling = initialScaling(limits, 0), startMs = 0) {
  let scaling = from;
  const slots: number[] = [];
  for (let look = 1; look <= looks; look++) {
    const seen: Load = { nowMs: startMs + look * 250, peak: 0, waitMs: 0, loopDelayMs: 0, poolWaiting: 0, ...load(scaling.slots, look) };
    ({ scaling } = scale(limits, scaling, seen));
    slots.push(scaling.slots);
  }
  return { slots, scaling, endMs: startMs + looks * 250 };
}

describe('slots', () => {
  test('grow by half, at most twice a second, to the most, while all are used and jobs wait', () => {
    const { slots } = run(20, busy);
    expect([...new Set(slots)]).toEqual([2, 3, 5, 8, 12, 18, 27, 40]);
    expect(slots.filter((n) => n === 3)).toHaveLength(2);
  });

  test('stay while jobs wait no longer than the target, or some slots are free', () => {
    expect(run(40, (slots) => ({ peak: slots, waitMs: 500 })).scaling.slots).toBe(2);
    expect(run(40, (slots) => ({ peak: slots - 1, waitMs: 60_000 })).scaling.slots).toBe(2);
  });

  test('do not grow while the event loop is late or callers wait for a connection', () => {
    expect(run(40, (slots) => ({ ...busy(slots), loopDelayMs: 150 })).scaling.slots).toBe(2);
    expect(run(40, (slots) => ({ ...busy(slots), poolWaiting: 1 })).scaling.slots).toBe(2);
  });

  test('shrink while the process is overloaded, not for one late moment, and then do not grow for ten seconds', () => {
    const grown = run(20, busy);
    const once = run(3, (slots, look) => ({ ...busy(slots), loopDelayMs: look === 1 ? 900 : 0 }), grown.scaling, grown.endMs);
    expect(once.scaling.slots).toBe(40);
    const late = run(20, (slots) => ({ ...busy(slots), loopDelayMs: 400 }), grown.scaling, grown.endMs);
    expect([...new Set(late.slots)]).toEqual([40, 32, 25, 20]);
    const held = run(36, busy, late.scaling, late.endMs);
    expect(held.scaling.slots).toBe(20);
    expect(run(8, busy, held.scaling, held.endMs).scaling.slots).toBeGreaterThan(20);
  });

  test('shrink by a quarter after ten quiet seconds, never below what was used or the least', () => {
    const grown = run(20, busy);
    const quiet = run(40, () => ({ peak: 3 }), grown.scaling, grown.endMs);
    expect(quiet.scaling.slots).toBe(40);
    expect(run(2, () => ({ peak: 3 }), quiet.scaling, quiet.endMs).scaling.slots).toBe(30);
    expect(run(2_000, () => ({ peak: 0 }), grown.scaling, grown.endMs).scaling.slots).toBe(2);
    expect(run(2_000, () => ({ peak: 7 }), grown.scaling, grown.endMs).scaling.slots).toBeGreaterThanOrEqual(7);
  });

  test('are too few when what waits will not be done in time at the rate at which jobs end', () => {
    expect(expectedWaitMs(0, 0, 60_000)).toBe(0);
    expect(expectedWaitMs(10_000, 9, 1_000)).toBe(1_000_000);
    // None has ended: each takes as long as that at least.
    expect(expectedWaitMs(100, 0, 2_000)).toBe(200_000);
  });

  test('do not swing: with a load that comes and goes every second they change once in ten', () => {
    const seen = run(400, (slots, look) => (look % 8 < 4 ? { peak: slots, waitMs: 600 } : { peak: Math.ceil(slots / 2) }));
    expect(seen.scaling.slots).toBe(40);
    const changes = seen.slots.filter((n, index) => index > 100 && n !== seen.slots[index - 1]).length;
    expect(changes).toBe(0);
  });
});

describe('a worker with { min, max }', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase('scaling');
  });
  afterAll(() => database.drop());
  const start = workersOf(() => database);

  const enqueue = (count: number) =>
    Promise.all(
      [database.tenantA, database.tenantB].map((tenantId) =>
        database.plinth.transaction(
          { tenantId },
          async (tx) =>
            void tx.jobs.enqueueMany(
              'k',
              Array.from({ length: count }, (_, n) => ({ n })),
            ),
        ),
      ),
    );

  test('grows while jobs wait, runs more of them at once, and never more than the most', async () => {
    let now = 0;
    let most = 0;
    const release = Promise.withResolvers<void>();
    await enqueue(20);
    const worker = start(
      async () => {
        now += 1;
        most = Math.max(most, now);
        await release.promise;
        now -= 1;
      },
      { concurrency: { min: 1, max: 6, targetMs: 100 } },
    );
    expect(worker.stats.slots).toBe(1);
    await expect.poll(() => worker.stats.running, { timeout: 20_000 }).toBe(6);
    expect(worker.stats.slots).toBe(6);
    release.resolve();
    await expect.poll(() => worker.stats.completed, { timeout: 20_000 }).toBe(40);
    expect(most).toBeLessThanOrEqual(6);
  });

  test('grows by the depth of its queues, long before a job has waited for the target', async () => {
    const release = Promise.withResolvers<void>();
    await enqueue(5_000);
    const worker = start(() => release.promise, { concurrency: { min: 1, max: 6, targetMs: 600_000 }, prefetch: 1 });
    await expect.poll(() => worker.stats.running, { timeout: 60_000 }).toBe(6);
    release.resolve();
    await worker.stop();
  });

  test('refuses limits that are none', () => {
    for (const concurrency of [0, 1.5, { min: 0, max: 1 }, { min: 3, max: 2 }, { min: 1, max: 2, targetMs: 0 }])
      expect(() => startWorker({ plinth: database.plinth, concurrency })).toThrow(RangeError);
  });
});
