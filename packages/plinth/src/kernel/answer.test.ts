/** Connections that are swallowed on the way: no byte comes, and no end. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { swallowingProxy } from '#testing/swallowing-proxy.ts';
import { createPlinth } from '../index.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('answer');
});
afterAll(() => database.drop());

test('who gave a limit for statements is told that a connection was swallowed, and the pool makes others', { timeout: 30_000 }, async () => {
  await using proxy = await swallowingProxy(database.serverUrl);
  const plinth = createPlinth({ database: { url: proxy.url, max: 3 } });
  const look = { text: 'select 1 as one', values: [], timeoutMs: 1_000 };
  // A look that has been prepared and one statement of each transaction have come back before the network forgets their connections.
  await plinth.lookAsWorker(look);
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const swallowed = Promise.withResolvers<void>();
  const within = (reached: () => void, text: string) =>
    plinth.transaction({ tenantId: database.tenantA, timeoutMs: 1_000 }, async (tx) => {
      await tx.query('select 1');
      reached();
      await swallowed.promise;
      if (text) await tx.query(text);
    });
  const inTheMiddle = within(first.resolve, 'select 2');
  const atCommit = within(second.resolve, '');
  await Promise.all([first.promise, second.promise, plinth.lookAsWorker(look)]);
  proxy.swallow();
  swallowed.resolve();
  const lost = { code: 'kernel_unavailable' };
  await Promise.all([
    expect(inTheMiddle).rejects.toMatchObject(lost),
    expect(atCommit).rejects.toMatchObject(lost),
    expect(plinth.lookAsWorker(look)).rejects.toMatchObject(lost),
  ]);
  // With as many at once as the pool has connections: none is missing.
  const three = [1, 2, 3].map((n) => plinth.transaction({ tenantId: database.tenantA }, (tx) => tx.query(`select ${n} as n, pg_catalog.pg_sleep(0.01)`)));
  expect((await Promise.all(three)).flat()).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }]);
  await plinth.close();
});

test('connections ask the system to look whether the other end is still there', async () => {
  const { plinth } = database;
  expect(plinth.pool.options).toMatchObject({ keepAlive: true, keepAliveInitialDelayMillis: 10_000 });
});

test('a database whose name is not found, or that lets nobody in, cannot be reached', async () => {
  const nowhere = new URL(database.serverUrl);
  nowhere.hostname = 'not-there.invalid';
  const stranger = new URL(database.serverUrl);
  stranger.username = 'nobody_of_that_name';
  for (const { href: url } of [nowhere, stranger]) {
    const plinth = createPlinth({ database: { url } });
    const unreachable = { code: 'kernel_unavailable', status: 503 };
    await expect(plinth.transaction({ tenantId: database.tenantA }, (tx) => tx.query('select 1'))).rejects.toMatchObject(unreachable);
    await expect(plinth.lookAsWorker({ text: 'select 1', values: [] })).rejects.toMatchObject(unreachable);
    await plinth.close();
  }
});
