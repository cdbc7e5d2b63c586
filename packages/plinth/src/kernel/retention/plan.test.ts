/** What a plan of retention costs. */
import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { NIL, retentionPlace } from './retention.fixture.ts';

const database = await testDatabase('retention_plan');
const { admin, plinth, tenantA, tenantB } = database;
const place = await retentionPlace(database);
const { addEntries, makeMonth, setPolicy } = place;
afterAll(() => place.dispose());

test('of many tenants that keep less a plan looks at those that have something to lose', async () => {
  await makeMonth('2010-01-15');
  await setPolicy(NIL, null);
  await setPolicy(tenantA, '1 year');
  await setPolicy(tenantB, '40 years');
  for (const tenant of [tenantA, tenantB]) await addEntries(tenant, '2010-01-15', 3);
  await admin.query(
    `insert into plinth_kernel.retention_policies (kind, tenant_id, keep) select 'audit.entries', gen_random_uuid(), '1 year' from generate_series(1, 100)`,
  );
  const [plan, looks] = await plinth.asWorker({}, async (tx) => {
    // Those of transactions that were a moment ago are among them.
    const counted = async (): Promise<number> =>
      (await tx.query<{ calls: number }>(`select calls::int from pg_stat_xact_user_functions where funcname = 'retention_doomed_sql'`))[0]?.calls ?? 0;
    const before = await counted();
    const planned = await tx.query(
      `select action, tenant_id, row_count from plinth_kernel.retention_plan('{audit.entries}') where target = 'plinth_audit.entries'`,
    );
    return [planned, (await counted()) - before];
  });
  expect(plan).toEqual([{ action: 'sweep', tenant_id: tenantA, row_count: '3' }]);
  expect(looks).toBe(1);
});
