/** The connection on which a worker hears others, and by which others know that it lives. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { swallowingProxy } from '#testing/swallowing-proxy.ts';
import { createPlinth } from '../../index.ts';
import { startListener } from './listener.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('listener');
});
afterAll(() => database.drop());

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

test('a worker whose session was swallowed hears again by another, although the server takes the old one for alive', { timeout: 30_000 }, async () => {
  await using proxy = await swallowingProxy(database.serverUrl);
  const plinth = createPlinth({ database: { url: proxy.url } });
  const locks: bigint[] = [];
  const heard: string[] = [];
  const stopHearing = plinth.wake.on('test.hint', () => void heard.push('test.hint'));
  const listener = startListener(plinth as never, silent, { sessionHeld: (lock) => void locks.push(lock) });
  await expect.poll(() => locks.length, { timeout: 20_000 }).toBe(1);
  proxy.swallow();
  listener.nudge();
  await expect.poll(() => locks.length, { timeout: 20_000 }).toBe(2);
  expect(new Set(locks).size).toBe(2);
  const { rows } = await database.admin.query<{ granted: boolean }>(
    `select granted from pg_locks where locktype = 'advisory' and objsubid = 1 and database = (select oid from pg_database where datname = current_database())
       and ((classid::bigint << 32) | objid::bigint)::text = any ($1)`,
    [locks.map(String)],
  );
  expect(rows, 'both sessions hold a key of their own, and none waits').toEqual([{ granted: true }, { granted: true }]);
  await database.admin.query(`notify plinth_wake, 'test.hint'`);
  await expect.poll(() => heard).toEqual(['test.hint']);
  // It ends although nobody answers its good-bye.
  proxy.swallow();
  await listener.stop();
  stopHearing();
  await plinth.close();
});

test('a session on which listening failed, as on a standby, is given up for another', { timeout: 30_000 }, async () => {
  const plinth = createPlinth({ database: { url: database.serverUrl } });
  const refusals: unknown[] = [];
  const log = { ...silent, warn: (fields: { err?: { message?: string } }) => void refusals.push(fields.err?.message) };
  let held = 0;
  const gate = {
    sessionHeld: () => {
      held += 1;
      if (held < 3) throw new Error('cannot execute LISTEN during recovery');
    },
  };
  const listener = startListener(plinth as never, log as never, gate);
  await expect.poll(() => held, { timeout: 20_000 }).toBe(3);
  expect(refusals).toEqual(['cannot execute LISTEN during recovery', 'cannot execute LISTEN during recovery']);
  const listening = `select count(*)::int as n from pg_stat_activity where application_name = 'plinth worker listen' and datname = current_database()`;
  await expect.poll(async () => (await database.admin.query(listening)).rows[0]?.n, { timeout: 20_000 }).toBe(1);
  await listener.stop();
  await plinth.close();
});
