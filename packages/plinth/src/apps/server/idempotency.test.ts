import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('idempotency_http');
});
afterAll(() => server.close());

let made = 0;
const newKey = (): string => `http-${++made}`;
const create = (idempotencyKey: string, body: object, key = server.keyA) =>
  server.call('/api/v1/users', { method: 'POST', key, body, headers: { 'idempotency-key': idempotencyKey } });
const entries = async (action: string): Promise<number> =>
  (await server.database.admin.query<{ n: number }>('select count(*)::int as n from plinth_audit.entries where action = $1', [action])).rows[0]?.n ?? 0;

test('a repeated POST is done once, says that its answer is an old one, and leaves one audit entry', async () => {
  const before = await entries('user.created');
  const key = newKey();
  const first = await create(key, { name: 'Ada' });
  const second = await create(key, { name: 'Ada' });
  expect(second.body).toEqual(first.body);
  expect(first.headers.get('idempotency-replayed')).toBeNull();
  expect(second.headers.get('idempotency-replayed')).toBe('true');
  expect(await entries('user.created')).toBe(before + 1);
});

test('the draft standard writes the key in quotation marks: it is the same key', async () => {
  const key = newKey();
  const first = await create(key, { name: 'Ada' });
  expect((await create(`"${key}"`, { name: 'Ada' })).body).toEqual(first.body);
});

test('another body under the same key is 422, and twenty at once are one', async () => {
  const key = newKey();
  const all = await Promise.all(Array.from({ length: 20 }, () => create(key, { name: 'Grace' })));
  expect(new Set(all.map(({ body }) => (body as { id: string }).id)).size).toBe(1);
  expect(all.filter(({ headers }) => headers.get('idempotency-replayed') === null)).toHaveLength(1);
  expect((await create(key, { name: 'Hopper' })).body).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
});

test('REST and tRPC share the key of a procedure, other procedures and callers do not', async () => {
  const key = newKey();
  const first = await create(key, { id: 'shared', name: 'Ada' });
  const rpc = await server.call('/api/trpc/system.access.users.create', {
    method: 'POST',
    key: server.keyA,
    body: { id: 'shared', name: 'Ada' },
    headers: { 'idempotency-key': key },
  });
  expect(rpc.body).toEqual({ result: { data: first.body } });
  expect(rpc.headers.get('idempotency-replayed')).toBe('true');
  const role = await server.call('/api/v1/roles/clerk', {
    method: 'PUT',
    key: server.keyA,
    body: { permissions: ['audit.read'] },
    headers: { 'idempotency-key': key },
  });
  expect([role.status, role.headers.get('idempotency-replayed')]).toEqual([200, null]);
  const { secret } = await server.makeKey(server.database.tenantA, ['*']);
  expect((await create(key, { id: 'shared', name: 'Ada' }, secret)).body).toMatchObject({ status: 409, code: 'access_user_exists' });
  const other = await create(key, { id: 'shared', name: 'Ada' }, server.keyB);
  expect([other.status, other.headers.get('idempotency-replayed')]).toEqual([200, null]);
});

test('a failure is not stored: the same key works once what was wrong is put right', async () => {
  const key = newKey();
  await create(newKey(), { id: 'taken' });
  expect((await create(key, { id: 'taken' })).status).toBe(409);
  await server.call('/api/v1/users/taken', { method: 'DELETE', key: server.keyA });
  expect(await create(key, { id: 'taken' })).toMatchObject({ status: 200 });
  const keyOfInvalid = newKey();
  expect((await create(keyOfInvalid, { name: 1 })).status).toBe(400);
  expect((await create(keyOfInvalid, { name: 'now it is text' })).status).toBe(200);
});

test('a secret is told once: its replay has null in its place, and the database never had it', async () => {
  const headers = { 'idempotency-key': newKey() };
  const body = { name: 'once', scopes: ['audit.read'] };
  const first = (await server.call('/api/v1/keys', { method: 'POST', key: server.keyA, body, headers })).body as { secret: string };
  const second = (await server.call('/api/v1/keys', { method: 'POST', key: server.keyA, body, headers })).body;
  expect(second).toEqual({ ...first, secret: null });
  const { rows } = await server.database.admin.query('select response_body::text as text from plinth_idempotency.keys');
  expect(JSON.stringify(rows)).not.toContain(first.secret);
});

test('operators outside every tenant have keys of their own', async () => {
  const call = (slug: string) =>
    server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug, name: 'New' }, headers: { 'idempotency-key': 'tenant-1' } });
  const first = await call('new-one');
  expect(first.status, first.text).toBe(200);
  expect((await call('new-one')).body).toEqual(first.body);
  expect((await call('new-two')).body).toMatchObject({ status: 422 });
});

test('deleting under a key may be repeated too, and reading ignores the header', async () => {
  await create(newKey(), { id: 'gone' });
  const headers = { 'idempotency-key': newKey() };
  for (let i = 0; i < 2; i++)
    expect(await server.call('/api/v1/users/gone', { method: 'DELETE', key: server.keyA, headers })).toMatchObject({ status: 200, body: { id: 'gone' } });
  expect((await server.call('/api/v1/users/gone', { method: 'DELETE', key: server.keyA })).status).toBe(404);
  const read = await server.call('/api/v1/users', { key: server.keyA, headers });
  expect([read.status, read.headers.get('idempotency-replayed')]).toEqual([200, null]);
});

test('what was stored under a key can be asked for', async () => {
  const key = newKey();
  const first = await create(key, { name: 'Asked' });
  expect((await server.call(`/api/v1/idempotency/check?key=${key}`, { key: server.keyA })).body).toMatchObject({
    key,
    processed: true,
    responseStatus: 200,
    responseBody: first.body,
  });
  expect((await server.call(`/api/v1/idempotency/check?key=${key}`, { key: server.keyB })).body).toBeNull();
});
