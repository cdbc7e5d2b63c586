/** What /readyz says of databases that are there and of no use. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { swallowingProxy } from '#testing/swallowing-proxy.ts';
import { createPlinth } from '../../index.ts';
import { readiness } from './ready.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('ready');
});
afterAll(() => database.drop());

const faultsOf = async (plinth: ReturnType<typeof createPlinth>) => {
  const { ready, tiers } = await readiness(plinth as never, {});
  return { ready, faults: (tiers.oltp?.checks ?? []).filter((check) => !check.ok).map((check) => check.name) };
};

test('a database that takes no writes is not ready', async () => {
  await database.admin.query(`alter database ${database.name} set default_transaction_read_only = on`);
  const plinth = createPlinth({ database: { url: database.serverUrl } });
  await expect.poll(() => faultsOf(plinth)).toEqual({ ready: false, faults: ['writable'] });
  await plinth.close();
  await database.admin.query(`begin read write; alter database ${database.name} reset default_transaction_read_only; commit`);
  const again = createPlinth({ database: { url: database.serverUrl } });
  await expect.poll(() => faultsOf(again)).toEqual({ ready: true, faults: [] });
  await again.close();
});

test('looks that get no answer keep no connection of the pool', { timeout: 30_000 }, async () => {
  await using proxy = await swallowingProxy(database.serverUrl);
  const plinth = createPlinth({ database: { url: proxy.url, max: 1 } });
  await expect.poll(() => faultsOf(plinth)).toEqual({ ready: true, faults: [] });
  proxy.swallow();
  expect(await faultsOf(plinth)).toEqual({ ready: false, faults: ['database'] });
  await expect.poll(() => faultsOf(plinth), { timeout: 20_000 }).toEqual({ ready: true, faults: [] });
  await plinth.close();
});
