/** What every request costs must not grow with the keys of other tenants. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { pagesOf } from '#testing/pages.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('access_plan');
  await database.admin.query(
    `insert into plinth_access.api_keys (tenant_id, name, prefix, last4, hash, scopes)
     select case when n = 1 then $1::uuid else $2::uuid end, 'key ' || n, 'plk_abcd', 'wxyz', sha256(n::text::bytea), '{*}' from generate_series(1, 20000) n`,
    [database.tenantA, database.tenantB],
  );
});
afterAll(() => database.drop());

test.each(['before', 'after'])('noting that a key was used looks at that key alone, %s statistics are gathered', async (when) => {
  if (when === 'after') await database.admin.query('analyze plinth_access.api_keys');
  const { rows } = await database.admin.query<{ id: string }>('select id from plinth_access.api_keys where tenant_id = $1', [database.tenantA]);
  const note = `select plinth_access.touch_key('${database.tenantA}', '${rows[0]?.id}')`;
  expect(await pagesOf(database, { role: 'plinth_worker' }, note)).toBeLessThan(30);
});

test('and so does looking one up by its hash', async () => {
  const look = `select * from plinth_access.key_by_hash(sha256('1'))`;
  expect(await pagesOf(database, { role: 'plinth_worker' }, look)).toBeLessThan(30);
});
