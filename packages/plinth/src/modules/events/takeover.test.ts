import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('takeover');
  await database.admin.query(`create schema takeover; create table takeover.effects (event_id uuid primary key, by text not null);
    grant usage on schema takeover to plinth_worker; grant insert on takeover.effects to plinth_worker`);
});
afterAll(() => database.drop());

test('what a process was handling when it was killed is handled by another at once, and once', { timeout: 60_000 }, async () => {
  const { plinth, tenantA, tenantB, admin } = database;
  for (const tenantId of [tenantA, tenantB]) await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('takeover.tested', {}));
  const child = spawn(process.execPath, [fileURLToPath(new URL('takeover.fixture.ts', import.meta.url))], {
    env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const take = () =>
    consumeOnce(plinth, 'test.taken', {
      summary: 'writes',
      handle: async (tx, events) => {
        for (const event of events) await tx.query('insert into takeover.effects (event_id, by) values ($1, $2)', [event.id, 'heir']);
      },
    });
  // As long as the other lives, it holds the cursors.
  expect(await take()).toBe(0);
  child.kill('SIGKILL');
  await ended;
  await expect.poll(take, { timeout: 30_000, interval: 50 }).toBe(2);
  expect((await admin.query('select distinct by from takeover.effects')).rows).toEqual([{ by: 'heir' }]);
});
