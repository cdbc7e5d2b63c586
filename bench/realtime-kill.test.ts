/** The short run of what `npm run bench -- realtime` does with 2,000 readers: servers are killed under them, and nobody misses anything. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';
import { readingKey } from './realtime/key.ts';
import { killUnderReaders } from './realtime/killed.ts';

let database: TestDatabase;
let key: string;
beforeAll(async () => {
  database = await testDatabase('realtime_kill');
  key = await readingKey(database.plinth, database.tenantA);
});
afterAll(() => database.drop());

test.each(['other', 'restart'] as const)(
  '50 readers whose server is killed go on without a gap or a repetition (%s)',
  async (goes) => {
    const { plinth, serverUrl, tenantA, tenantB } = database;
    const seen = await killUnderReaders({ plinth, serverUrl, tenantId: tenantA, otherTenantId: tenantB, key, clients: 50, rate: 20, kills: 1, goes });
    expect(seen).toMatchObject({ gaps: 0, repeats: 0, failures: 0, away: 0, behind: seen.sent - 1, received: 50 * seen.sent });
    expect(seen.ends).toBeGreaterThanOrEqual(50);
  },
  120_000,
);
