/** Looking keys up: once for all that ask at the same time, and anew after rights have changed. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { newSecret } from '#kernel/secret-text.ts';
import { createKeyring } from './keyring.ts';
import { type TestServer, testServer } from './server.fixture.ts';

let server: TestServer;
let plinth: Plinth<ModuleMap>;
let looks = 0;
beforeAll(async () => {
  server = await testServer('keyring');
  const real = server.database.plinth as unknown as Plinth<ModuleMap>;
  plinth = Object.assign(Object.create(real), {
    asWorker: ((input, body) => {
      // Notes that a key was used are written, look-ups only read.
      if (input.readOnly) looks += 1;
      return real.asWorker(input, body);
    }) satisfies Plinth<ModuleMap>['asWorker'],
  });
});
beforeEach(() => {
  looks = 0;
});
afterAll(() => server.close());

const many = <T>(once: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: 20 }, once));

test('those who ask for a key while it is looked up share the answer, and so do those who come later', async () => {
  const keyring = createKeyring(plinth, 60_000);
  const ids = (await many(() => keyring.bySecret(server.keyA))).map(({ id }) => id);
  expect(new Set(ids).size).toBe(1);
  await keyring.bySecret(server.keyA);
  expect(looks).toBe(1);
  await keyring.settle();
});

test('what was being looked up when rights changed is not believed afterwards', async () => {
  const keyring = createKeyring(plinth, 60_000);
  const before = keyring.bySecret(server.keyA);
  keyring.forget();
  await before;
  await keyring.bySecret(server.keyA);
  expect(looks).toBe(2);
  await keyring.bySecret(server.keyA);
  expect(looks).toBe(2);
  await keyring.settle();
});

test('nothing is shared where nothing may be believed, and a key that nobody knows is looked up each time', async () => {
  const strict = createKeyring(plinth, 0);
  await many(() => strict.bySecret(server.keyA));
  expect(looks).toBe(20);
  const keyring = createKeyring(plinth, 60_000);
  const unknown = newSecret('tenant');
  for (let time = 0; time < 2; time++) await expect(keyring.bySecret(unknown)).rejects.toMatchObject({ code: 'access_key_unknown' });
  expect(looks).toBe(22);
  await Promise.all([strict.settle(), keyring.settle()]);
});

test('a session of a tenant is never given the key of an operator, whatever id its own key has', async () => {
  const { admin, tenantA } = server.database;
  const { rows } = await admin.query<{ id: string }>('select id from plinth_access.operator_keys');
  const id = rows[0]?.id ?? '';
  // Tenants know ids of operators from plinth.operator_access, and the application may write API keys.
  await admin.query(
    `insert into plinth_access.api_keys (tenant_id, id, name, prefix, last4, hash, scopes) values ($1, $2, 'twin', 'plk_tenant_twin', 'twin', sha256('twin'), array['audit.read'])`,
    [tenantA, id],
  );
  const keyring = createKeyring(plinth, 60_000);
  expect(await keyring.byId({ id, tenantId: undefined })).toMatchObject({ kind: 'operator' });
  expect(await keyring.byId({ id, tenantId: tenantA })).toMatchObject({ kind: 'tenant', tenant_id: tenantA, scopes: ['audit.read'] });
  await keyring.settle();
});
