/** What a worker does besides jobs, as time passes. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { emptyStats, workerMetrics } from './metrics.ts';
import { startUpkeep } from './upkeep.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('upkeep');
});
afterEach(() => void vi.useRealTimers());
afterAll(() => database.drop());

const DROP = `do $$ declare _part text; begin
  for _part in select p.name from plinth_kernel.retention_kinds as k, plinth_kernel.partition_list(k.table_name::regclass) as p loop execute 'drop table ' || _part; end loop; end $$`;

test('a machine that slept for days while its worker ran has partitions for today within a minute', async () => {
  const { admin, plinth, tenantA } = database;
  const publish = () => plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('machine.woke', {}));
  const parts = async (): Promise<number> =>
    Number((await admin.query('select count(*) as n from plinth_kernel.retention_kinds as k, plinth_kernel.partition_list(k.table_name::regclass)')).rows[0].n);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const asWorker = vi.fn(plinth.asWorker);
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const loops = startUpkeep({
    plinth: { ...plinth, asWorker } as never,
    services: { log } as never,
    definitions: {},
    pollMs: 100,
    stats: { ...emptyStats(), slots: 1 },
    metrics: workerMetrics(),
    onAnnounced: () => {},
  });
  try {
    // The first turn of every loop.
    await expect.poll(() => asWorker.mock.settledResults.length > 5 && asWorker.mock.settledResults.every(({ type }) => type === 'fulfilled')).toBe(true);
    const made = await parts();
    await admin.query(DROP);
    expect(await parts()).toBe(0);
    await expect(publish()).rejects.toThrow('outside the open partitions');
    await vi.advanceTimersByTimeAsync(60_000);
    await expect.poll(parts).toBe(made);
    await publish();
  } finally {
    vi.useRealTimers();
    await Promise.all(loops.map((loop) => loop.stop()));
  }
});
