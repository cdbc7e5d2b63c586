import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '../../packages/plinth/src/kernel/feed.ts';
import type { Consumer } from '../../packages/plinth/src/kernel/work.ts';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json } from './command.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('cli consumers');
});
afterAll(() => database.drop());

const failing: Consumer = {
  summary: 'fails',
  from: 'now',
  handle: async (_tx, events) => {
    if (events.some((event) => event.type === 'bad.happened')) throw new Error('cannot');
  },
};

test('at three in the morning one finds out what fails, lets its tenant go on, and says why', { timeout: 240_000 }, async () => {
  const { plinth, tenantA } = database;
  const url = { PLINTH_DATABASE_URL: database.serverUrl };
  const turn = () => consumeOnce(plinth, 'cli.reader', failing).catch(() => -1);
  await turn();
  await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish('bad.happened', {}));
  for (let n = 0; n < 2; n++) await turn();
  type Listed = { consumer: string; status: string; failing_shards: number[]; parked: number };
  const list = async () => json<Listed[]>(await command(['consumers', '--json'], url)).find((one) => one.consumer === 'cli.reader');
  expect(await list()).toMatchObject({ status: 'failing', failing_shards: [expect.any(Number)] });
  const [one] = json<{ id: string; status: string }[]>(await command(['consumers', 'parked', 'cli.reader', '--json'], url));
  expect(one).toMatchObject({ status: 'failing' });
  const [unsaid, zoneless, odd, nobody, parked] = await Promise.all([
    command(['consumers', 'pause', 'cli.reader'], url),
    command(['consumers', 'rewind', 'cli.reader', '--at', '2026-11-22T08:00:00', '--reason', 'x'], url),
    command(['consumers', 'repair'], url),
    command(['consumers', 'resume', 'cli.nobody'], url),
    command(['consumers', 'park', '--id', one?.id ?? '', '--reason', 'a bug, see ticket 12'], url),
  ]);
  expect([unsaid.code, unsaid.stderr]).toEqual([2, expect.stringContaining('--reason')]);
  expect([zoneless.code, zoneless.stderr]).toEqual([2, expect.stringContaining('time zone')]);
  expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('choose list, pause')]);
  expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('There is no consumer cli.nobody')]);
  expect([parked.code, parked.stdout]).toEqual([0, expect.stringContaining('goes on without it')]);
  expect(await list()).toMatchObject({ status: 'current', failing_shards: [] });
  expect((await command(['consumers', 'pause', 'cli.reader', '--reason', 'a look', '--for', '2 hours'], url)).code).toBe(0);
  expect(await list()).toMatchObject({ status: 'paused' });
  expect(json<unknown[]>(await command(['consumers', 'rewind', 'cli.reader', '--to', 'beginning', '--reason', 'mended', '--json'], url))).toHaveLength(8);
  expect((await command(['consumers', 'forget', 'cli.reader', '--reason', 'gone'], url)).code).toBe(0);
  expect(await list()).toBeUndefined();
});
