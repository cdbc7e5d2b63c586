import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';
import { torture } from './torture/torture.ts';

const database = await testDatabase('torture');
afterAll(() => database.drop());

test('a feed loses, repeats and reorders nothing and waits for no long transaction, while its readers are killed', { timeout: 120_000 }, async () => {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  console.log(`feed torture: seed ${seed} (PLINTH_SEED=${seed} repeats the choices, though not the schedule)`);
  const result = await torture({
    adminUrl: database.url,
    serverUrl: database.serverUrl,
    tenants: [database.tenantA, database.tenantB, ...Array.from({ length: 4 }, () => database.plinth.newId())],
    events: 2_000,
    seed,
    longMs: 1_500,
  });
  console.log(JSON.stringify(result));
  expect(result.committed).toBeGreaterThanOrEqual(2_000);
  expect(result).toMatchObject({ lost: 0, duplicated: 0, inverted: 0, blockades: 0 });
  expect(result.longTransactions).toBeGreaterThan(0);
  expect(result.kills).toBeGreaterThan(3);
});

test('the oracle sees what a reader by position loses and a reader by horizon delays', { timeout: 120_000 }, async () => {
  const options = { tenants: [database.tenantA, database.tenantB], events: 500, seed: 7, longMs: 1_200 };
  const results = [];
  for (const cursor of ['position', 'horizon'] as const) {
    await using fresh = await testDatabase('torture');
    results.push(await torture({ ...options, adminUrl: fresh.url, serverUrl: fresh.serverUrl, cursor }));
  }
  console.log(JSON.stringify(results));
  expect(results[0]?.lost).toBeGreaterThan(0);
  expect(results[1]).toMatchObject({ lost: 0 });
  expect(results[1]?.blockades).toBeGreaterThan(0);
});
