import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command } from './command.ts';

const timeout = 120_000;
const database = await testDatabase('cli erase tenant');
afterAll(() => database.drop());

test('plinth erase-tenant counts, asks for a reason and a tenant that is closed, and deletes', { timeout }, async () => {
  const { admin, plinth, serverUrl, tenantA } = database;
  await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'order.created' }));
  const erase = (...typed: string[]) => command(['erase-tenant', tenantA, ...typed], { PLINTH_DATABASE_URL: serverUrl });

  expect(await erase('--dry-run')).toMatchObject({ code: 0, stdout: expect.stringMatching(/audit\.entries +1/) });
  expect(await erase()).toMatchObject({ code: 2, stderr: expect.stringMatching(/--reason/) });
  expect(await erase('--reason', 'contract ended')).toMatchObject({ code: 1, stderr: expect.stringMatching(/is active/) });
  await admin.query(`update plinth_kernel.tenants set status = 'closed' where id = $1`, [tenantA]);
  expect(await erase('--reason', 'contract ended')).toMatchObject({ code: 0, stdout: expect.stringMatching(/1 rows of tenant/) });
  expect(JSON.parse((await erase('--dry-run', '--json')).stdout)).toEqual({ erased: {}, left: {} });
});
