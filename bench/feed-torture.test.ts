import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';
import { torture } from './feed-torture.ts';

const database = await testDatabase('torture');
afterAll(() => database.drop());

test('a feed loses, repeats and reorders nothing and waits for no long transaction, while its readers are killed', { timeout: 120_000 }, async () => {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  console.log(`feed torture: seed ${seed} (PLINTH_SEED=${seed} repeats the choices, though not the schedule)`);
  const result = await torture({
    adminUrl: database.url,
    serverUrl: database.serverUrl,
    tenants: [database.tenantA, database.tenantB],
    events: 3_000,
    seed,
    longMs: 1_500,
  });
  console.log(JSON.stringify(result));
  expect(result.committed).toBeGreaterThanOrEqual(3_000);
  expect(result).toMatchObject({ lost: 0, duplicated: 0, inverted: 0 });
  expect(result.longTransactions).toBeGreaterThan(0);
  expect(result.kills).toBeGreaterThan(3);
});
