import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPlinth } from '../index.ts';
import { testDatabase } from '../testing/database.ts';
import { FEED_SIGNAL } from './feed.ts';
import { listenForWakes } from './wake.ts';

const database = await testDatabase('wake');
const { tenantA, plinth } = database;
const listening = new pg.Client({ connectionString: database.serverUrl, options: '-c idle_session_timeout=60s' });

beforeAll(async () => {
  await listening.connect();
  await listenForWakes(listening, () => {});
});
afterAll(async () => {
  await listening.end();
  await database.drop();
});

test('who listens is not cut off where the database ends idle sessions', async () => {
  expect((await listening.query('show idle_session_timeout')).rows).toEqual([{ idle_session_timeout: '0' }]);
});

/** Longer than hints are kept apart, without another process hearing anything. */
const rest = (): Promise<void> => plinth.wake.next([], 30);

test('a hint rides behind COMMIT, on the connection of the transaction: who hears it sees what was committed', async () => {
  await rest();
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  listening.once('notification', ({ processId }) => resolve(processId));
  let own: number | undefined;
  await plinth.transaction({ tenantId: tenantA }, async (tx) => {
    own = (await tx.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid;
    tx.events.publish('wake.rode', {});
  });
  expect(await promise).toBe(own);
  const { rows } = await database.admin.query(`select count(*)::int as n from plinth.events where event_type = 'wake.rode'`);
  expect(rows).toEqual([{ n: 1 }]);
});

test('hints that come close together are told together, and none rides meanwhile', async () => {
  await rest();
  for (let nth = 0; nth < 40; nth++) plinth.wake.signal([FEED_SIGNAL]);
  expect(plinth.wake.ride([FEED_SIGNAL])).toBeUndefined();
  const heard: (string | undefined)[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  listening.on('notification', ({ payload }) => {
    heard.push(payload);
    if (payload === 'wake.last') resolve();
  });
  await rest();
  plinth.wake.signal(['wake.last']);
  await promise;
  expect(heard).toEqual([FEED_SIGNAL, 'wake.last']);
});

test('a transaction that fails says why, whether or not a hint went with it, and its connection goes on', async () => {
  const single = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const failing = (): Promise<void> => single.transaction({}, async (tx) => void tx.events.publish('wake.nobody', {}));
  // The first carries a hint; the second comes too soon after it.
  for (let nth = 0; nth < 2; nth++) await expect(failing()).rejects.toMatchObject({ code: 'kernel_effect_failed' });
  await single.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('wake.after', {}));
  expect(
    await single.transaction({ tenantId: tenantA }, (tx) => tx.query(`select count(*)::int as n from plinth.events where event_type = 'wake.after'`)),
  ).toEqual([{ n: 1 }]);
  await single.close();
});

test('who still listens is told, whoever else has stopped', () => {
  const heard: string[] = [];
  const listen = (name: string) => plinth.wake.on(name, () => heard.push(name));
  const stays = listen('kept');
  listen('kept')();
  plinth.wake.hear('kept');
  expect(heard).toEqual(['kept']);
  stays();
  stays();
  plinth.wake.hear('kept');
  expect(heard).toHaveLength(1);
});

test('nothing stays of names that nobody listens to any more', async () => {
  // In a process of its own: counting the objects of this one, with all that other files have imported, took two minutes on a busy machine.
  const { stdout } = await promisify(execFile)(process.execPath, [
    // When the engine replaces a loop that runs decides what it still holds; without, every run is the same.
    '--no-use-osr',
    '--input-type=module',
    '--eval',
    `import { queryObjects } from 'node:v8';
    import { createWake } from ${JSON.stringify(new URL('./wake.ts', import.meta.url).href)};
    const wake = createWake({});
    const sets = () => queryObjects(Set, { format: 'count' });
    const before = sets();
    const stop = Array.from({ length: 20_000 }, (_, n) => wake.on('queue:' + n, () => {}));
    const during = sets();
    // Popped, because an array that a loop goes through may live as long as its function: the ways to stop would hold what they have stopped.
    while (stop.length > 0) stop.pop()();
    console.log(JSON.stringify({ during: during - before, after: sets() - before }));`,
  ]);
  const { during, after } = JSON.parse(stdout) as { during: number; after: number };
  expect(during).toBeGreaterThan(19_000);
  expect(after).toBeLessThan(1_000);
});
