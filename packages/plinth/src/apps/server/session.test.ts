/** Sessions of the console: links that sign in, and the cookie. */
import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSecret } from '#kernel/secret-text.ts';
import { createHandler, createLoginLink, createServices, ensureAdminKey } from './index.ts';
import type { Answer, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SECRET = 'a secret of a test that is longer than 32 bytes';
let server: TestServer;
beforeAll(async () => {
  server = await testServer('session', { auth: { jwt: { secret: SECRET, issuer: 'https://id.test', audience: 'plinth' }, cacheMs: 0 } });
});
afterAll(() => server.close());

const whoAmI = (key: string | undefined, headers: Record<string, string> = {}): Promise<Answer> => server.call('/api/v1/me', { key, headers });
/** Signed with the secret of the tenants' tokens. */
const foreignToken = () =>
  new SignJWT({ iss: 'https://id.test', aud: 'plinth-console', sub: crypto.randomUUID(), exp: Math.floor(Date.now() / 1000) + 600 })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET));
const login = (body: unknown, headers: Record<string, string> = { origin: 'http://plinth.test' }) =>
  server.call('/api/v1/console/login', { method: 'POST', body, headers });
const cookieOf = (answer: Answer): string => answer.headers.get('set-cookie')?.split(';')[0] ?? '';
const same = { 'sec-fetch-site': 'same-origin' };

test('a link works once, and gives a cookie that no script and no other site can use', async () => {
  const { id } = await ensureAdminKey(server.database.plinth);
  const link = await createLoginLink(server.database.plinth, 'http://plinth.test', id);
  const token = new URLSearchParams(new URL(link).hash.slice(1)).get('token');
  expect(new URL(link).pathname).toBe('/console');
  const first = await login({ token });
  expect(first.status, first.text).toBe(200);
  expect(first.headers.get('set-cookie')).toMatch(/^plinth_session=[\w.-]+; Path=\/; Max-Age=28800; HttpOnly; SameSite=Strict$/);
  expect((await login({ token })).body).toMatchObject({ status: 401, code: 'access_link_invalid' });
  expect((await whoAmI(undefined, { cookie: cookieOf(first), ...same })).body).toMatchObject({ principal: { operator: true } });
});

test('a link that is too old, unknown or no link opens nothing', async () => {
  const { id } = await ensureAdminKey(server.database.plinth);
  const link = await createLoginLink(server.database.plinth, '', id);
  await server.database.admin.query(`update plinth_access.login_links set expires_at = now() where used_at is null`);
  for (const token of [link.split('=')[1], newSecret('login'), 'x'])
    expect((await login({ token })).body).toMatchObject({ status: 401, code: 'access_link_invalid' });
  expect((await login({})).body).toMatchObject({ status: 400 });
  expect((await login({ key: newSecret('operator') })).body).toMatchObject({ status: 401, code: 'access_key_unknown' });
});

test('another site cannot use the cookie', async () => {
  const cookie = cookieOf(await login({ key: server.operator }));
  const change = (headers: Record<string, string>) =>
    server.call('/api/v1/tenants', { method: 'POST', body: { slug: 'x', name: '' }, headers: { cookie, ...headers } });
  for (const headers of [
    { origin: 'https://evil.test' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'null' },
    {},
    { 'sec-fetch-site': 'none' },
  ] as Record<string, string>[]) {
    expect((await change(headers)).body, JSON.stringify(headers)).toMatchObject({ status: 403, code: 'access_cross_site' });
  }
  expect((await change(same)).body).toMatchObject({ status: 400, code: 'kernel_invalid_input' });
  expect((await change({ origin: 'http://plinth.test' })).body).toMatchObject({ status: 400, code: 'kernel_invalid_input' });
  expect((await server.call('/api/v1/me', { headers: { cookie, 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
  expect((await login({ key: server.operator }, { origin: 'https://evil.test' })).status).toBe(403);
});

test('a forged, changed or foreign cookie is no session, and a revoked key ends its sessions', async () => {
  const cookie = cookieOf(await login({ key: server.operator }));
  for (const wrong of [`${cookie}x`, 'plinth_session=', `plinth_session=${await foreignToken()}`]) {
    expect((await whoAmI(undefined, { cookie: wrong, ...same })).body, wrong).toMatchObject({ status: 401, code: 'access_session_invalid' });
  }
  const made = await server.call('/api/v1/operators/keys', { method: 'POST', key: server.operator, body: { name: 'guest', scopes: ['tenants.read'] } });
  const guest = made.body as { id: string; secret: string };
  const theirs = cookieOf(await login({ key: guest.secret }));
  expect((await whoAmI(undefined, { cookie: theirs, ...same })).body).toMatchObject({ principal: { scopes: ['tenants.read'] } });
  await server.call(`/api/v1/operators/keys/${guest.id}`, { method: 'DELETE', key: server.operator });
  expect((await whoAmI(undefined, { cookie: theirs, ...same })).body).toMatchObject({ status: 401, code: 'access_key_revoked' });
});

test('a key of a tenant opens a session in that tenant', async () => {
  const cookie = cookieOf(await login({ key: server.keyB }));
  expect((await whoAmI(undefined, { cookie, ...same })).body).toMatchObject({ principal: { tenant_id: server.database.tenantB, operator: false } });
  const out = await server.call('/api/v1/console/logout', { method: 'POST', headers: { cookie, ...same } });
  expect(out.headers.get('set-cookie')).toMatch(/^plinth_session=; .*Max-Age=0/);
});

test('behind TLS the cookie is for TLS alone', async () => {
  const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), trustProxy: true });
  const headers = { 'content-type': 'application/json', 'x-forwarded-proto': 'https', origin: 'http://plinth.test' };
  const response = await handler(
    new Request('http://plinth.test/api/v1/console/login', { method: 'POST', headers, body: JSON.stringify({ key: server.operator }) }),
  );
  expect(response.headers.get('set-cookie')).toMatch(/; Secure$/);
  expect(response.headers.get('strict-transport-security')).toMatch(/max-age=/);
  await handler.settle();
});
