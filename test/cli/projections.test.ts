import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json } from './command.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('cli projections');
});
afterAll(() => database.drop());

test('projections are listed; one that is not there, an odd action and a missing owner are told with the way out', { timeout: 120_000 }, async () => {
  await database.admin.query(`insert into plinth_kernel.feed_projections (name, kind, revision, declared) values ('shop.totals', 'async', '1', '2')`);
  const url = { PLINTH_DATABASE_URL: database.serverUrl };
  const [listed, unknown, odd, ownerless] = await Promise.all([
    command(['projections', 'list', '--json'], url),
    command(['projections', 'rebuild', 'shop.totals'], { ...url, PLINTH_MAINTENANCE_URL: database.url }),
    command(['projections', 'repair'], url),
    command(['projections', 'cancel', 'shop.totals'], { ...url, PLINTH_MAINTENANCE_URL: '' }),
  ]);
  expect(json<unknown[]>(listed)).toMatchObject([{ name: 'shop.totals', status: 'stale', revision: '1', declared_revision: '2' }]);
  expect(unknown.code).not.toBe(0);
  expect(unknown.stderr).toContain('There is no projection shop.totals');
  expect(odd.stderr).toContain('choose list, rebuild, cancel');
  expect(ownerless.stderr).toContain('PLINTH_MAINTENANCE_URL');
});
