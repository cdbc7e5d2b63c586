import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWTPayload } from 'jose';
import { base64url, exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { newSecret } from '#kernel/secret-text.ts';
import { createPlinth } from '../../index.ts';
import { createHandler, createServices, ensureAdminKey } from './index.ts';
import type { Answer, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SECRET = 'a secret of a test that is longer than 32 bytes';
let server: TestServer;
beforeAll(async () => {
  server = await testServer('auth', { auth: { jwt: { secret: SECRET, issuer: 'https://id.test', audience: 'plinth' }, cacheMs: 0 } });
});
afterAll(() => server.close());

const soon = () => Math.floor(Date.now() / 1000) + 600;
const hs256 = (claims: JWTPayload, secret: string | Uint8Array = SECRET, alg = 'HS256') =>
  new SignJWT({ iss: 'https://id.test', aud: 'plinth', exp: soon(), ...claims })
    .setProtectedHeader({ alg })
    .sign(typeof secret === 'string' ? new TextEncoder().encode(secret) : secret);
const whoAmI = (key: string | undefined, headers: Record<string, string> = {}): Promise<Answer> => server.call('/api/v1/me', { key, headers });

describe('API keys', () => {
  test('a key is its tenant, and a note of its use is written at most once a minute', async () => {
    const { id, secret } = await server.makeKey(server.database.tenantA, ['audit.read']);
    const { body } = await whoAmI(secret);
    expect(body).toMatchObject({
      principal: { actor: { type: 'api_key', id }, tenant_id: server.database.tenantA, scopes: ['audit.read'], operator: false },
      tenants: [{ slug: 'tenant-a' }],
    });
    await server.handler.settle();
    const used = () => server.database.admin.query<{ at: Date }>('select last_used_at as at from plinth_access.api_keys where id = $1', [id]);
    const first = (await used()).rows[0]?.at;
    expect(first).toBeInstanceOf(Date);
    await whoAmI(secret);
    await server.handler.settle();
    expect((await used()).rows[0]?.at).toEqual(first);
  });

  test('the database holds neither the key nor anything to compute it from', async () => {
    const { secret } = await server.makeKey(server.database.tenantA, ['audit.read']);
    const { rows } = await server.database.admin.query('select k::text as text from plinth_access.api_keys k');
    expect(JSON.stringify(rows)).not.toContain(secret.split('_')[2]);
    const list = await server.call('/api/v1/lists/access/keys', { key: server.keyA });
    expect(list.text).not.toMatch(/hash/);
  });

  test('a forged key is refused without a word about others', async () => {
    const { status, body } = await whoAmI(newSecret('tenant'));
    expect([status, (body as { code: string }).code]).toEqual([401, 'access_key_unknown']);
    expect((await whoAmI(newSecret('login'))).status).toBe(401);
  });

  test('cannot be made for what nothing asks for, and neither can a role', async () => {
    const make = (scopes: string[]) => server.call('/api/v1/keys', { method: 'POST', key: server.keyA, body: { name: 'typo', scopes } });
    const refused = await make(['audit.read', 'audit.raed', 'invoices.*']);
    expect(refused.body).toMatchObject({
      status: 422,
      code: 'access_permission_unknown',
      unknown: ['audit.raed', 'invoices.*'],
      known: expect.arrayContaining(['audit.read']),
    });
    expect((await make(['*.raed'])).body).toMatchObject({ code: 'access_permission_unknown', known: expect.arrayContaining(['audit.read', 'jobs.retry']) });
    expect((await make(['audit.read', 'audit.*', '*.read', 'webhooks.portal.read', 'streams.write'])).status).toBe(200);
    const role = await server.call('/api/v1/roles/typo', { method: 'PUT', key: server.keyA, body: { permissions: ['audit.raed'] } });
    expect(role.body).toMatchObject({ code: 'access_permission_unknown' });
  });

  test('an expired and a revoked key are refused', async () => {
    const { id, secret } = await server.makeKey(server.database.tenantA, ['*']);
    expect((await whoAmI(secret)).status).toBe(200);
    await server.database.admin.query(`update plinth_access.api_keys set expires_at = now() - interval '1 second' where id = $1`, [id]);
    expect((await whoAmI(secret)).body).toMatchObject({ status: 401, code: 'access_key_expired' });
    const revoked = await server.call(`/api/v1/keys/${id}`, { method: 'DELETE', key: server.keyA });
    expect(revoked.body).toMatchObject({ status: 'revoked' });
    expect((await whoAmI(secret)).body).toMatchObject({ status: 401, code: 'access_key_revoked' });
  });

  test('a rotated key and its successor both work during the overlap', async () => {
    const { id, secret } = await server.makeKey(server.database.tenantA, ['audit.read']);
    const rotated = await server.call(`/api/v1/keys/${id}/rotate`, { method: 'POST', key: server.keyA, body: { overlap_seconds: 3600 } });
    expect(rotated.body).toMatchObject({ rotated_from: id, scopes: ['audit.read'] });
    const next = (rotated.body as { secret: string }).secret;
    expect((await whoAmI(secret)).status).toBe(200);
    expect((await whoAmI(next)).status).toBe(200);
    await server.database.admin.query(`update plinth_access.api_keys set expires_at = now() where id = $1`, [id]);
    expect((await whoAmI(secret)).status).toBe(401);
    expect((await whoAmI(next)).status).toBe(200);
  });

  test('a key that is rotated twice gives both successors the life that it was made for', async () => {
    const rotate = async (id: string) =>
      (await server.call(`/api/v1/keys/${id}/rotate`, { method: 'POST', key: server.keyA, body: { overlap_seconds: 60 } })).body as {
        id: string;
        expires_at: string | null;
      };
    const endless = await server.makeKey(server.database.tenantA, ['audit.read']);
    const first = await rotate(endless.id);
    await rotate(first.id);
    expect([first.expires_at, (await rotate(endless.id)).expires_at]).toEqual([null, null]);
    const inAnHour = new Date(Date.now() + 3_600_000);
    const made = await server.call('/api/v1/keys', {
      method: 'POST',
      key: server.keyA,
      body: { name: 'an hour', scopes: ['audit.read'], expires_at: inAnHour.toISOString() },
    });
    const { id } = made.body as { id: string };
    for (const { expires_at: at } of [await rotate(id), await rotate(id)]) expect(Date.parse(at ?? '')).toBeGreaterThanOrEqual(inAnHour.getTime() - 60_000);
  });

  test('a key lives by the clock of the database, whatever that of the server says', async () => {
    const { id, secret } = await server.makeKey(server.database.tenantA, ['audit.read']);
    const by = (skewMs: number) => {
      const skewed = createPlinth({ database: { url: server.database.serverUrl }, clock: { now: () => Date.now() + skewMs } });
      const handler = createHandler({ plinth: skewed, services: createServices({ log: { level: 'silent' } }) });
      const ask = async () => (await handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: `Bearer ${secret}` } }))).status;
      return { ask, close: () => handler.settle().then(() => skewed.close()) };
    };
    const expire = (at: string) => server.database.admin.query(`update plinth_access.api_keys set expires_at = now() + $2::interval where id = $1`, [id, at]);
    const [behind, ahead] = [by(-86_400_000), by(86_400_000)];
    await expire('1 hour');
    expect([await behind.ask(), await ahead.ask(), await ahead.ask()]).toEqual([200, 200, 200]);
    await expire('-1 s');
    const later = by(-86_400_000);
    expect(await later.ask()).toBe(401);
    for (const one of [behind, ahead, later]) await one.close();
  });

  test('what is revoked is refused at once by the process that did it, in spite of its cache', async () => {
    const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }) });
    const ask = (secret: string, path: string, method = 'GET') =>
      handler(new Request(`http://plinth.test${path}`, { method, headers: { authorization: `Bearer ${secret}` } }));
    const { id, secret } = await server.makeKey(server.database.tenantA, ['*']);
    expect((await ask(secret, '/api/v1/me')).status).toBe(200);
    expect((await ask(server.keyA, `/api/v1/keys/${id}`, 'DELETE')).status).toBe(200);
    expect((await ask(secret, '/api/v1/me')).status).toBe(401);
    await handler.settle();
  });

  test('what another process revoked is refused within the time of the cache, also when the key is in constant use', async () => {
    const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), auth: { cacheMs: 300 } });
    const { id, secret } = await server.makeKey(server.database.tenantA, ['*']);
    const ask = async () => (await handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: `Bearer ${secret}` } }))).status;
    expect(await ask()).toBe(200);
    await server.database.admin.query('update plinth_access.api_keys set revoked_at = now() where id = $1', [id]);
    // Asked without a pause: an entry that each use renewed would never end.
    const end = performance.now() + 10_000;
    let status = 200;
    while (status === 200 && performance.now() < end) status = await ask();
    expect(status).toBe(401);
    await handler.settle();
  });

  test('scopes are what a key may do, and nobody grants more than they have', async () => {
    const { secret } = await server.makeKey(server.database.tenantA, ['audit.read', 'access.admin']);
    expect((await server.call('/api/v1/users', { key: secret })).body).toMatchObject({ status: 403, code: 'kernel_forbidden', permission: 'access.read' });
    expect((await server.call('/api/v1/lists/audit/entries', { key: secret })).status).toBe(200);
    expect((await server.call('/api/v1/lists/jobs/jobs', { key: secret })).body).toMatchObject({ status: 403 });
    const lists = await server.call('/api/v1/lists', { key: secret });
    expect(new Set((lists.body as { lists: { module: string }[] }).lists.map(({ module }) => module))).toEqual(new Set(['audit']));
    for (const scopes of [['*'], ['*.read'], ['audit.*'], ['jobs.read']]) {
      const made = await server.call('/api/v1/keys', { method: 'POST', key: secret, body: { name: 'more', scopes } });
      expect(made.body, scopes.join()).toMatchObject({ status: 403, code: 'access_escalation' });
    }
    expect((await server.call('/api/v1/users', { method: 'POST', key: secret, body: { roles: ['viewer'] } })).body).toMatchObject({
      code: 'access_escalation',
    });
    expect((await server.call('/api/v1/roles/reader', { method: 'PUT', key: secret, body: { permissions: ['audit.read'] } })).status).toBe(200);
  });

  test('a tenant key is not an operator, not even with every permission', async () => {
    expect((await server.call('/api/v1/tenants', { key: server.keyA })).body).toMatchObject({ status: 403, code: 'kernel_operator_required' });
    expect((await server.call('/api/v1/users', { key: server.keyA, headers: { 'x-plinth-tenant': server.database.tenantB } })).body).toMatchObject({
      status: 403,
    });
    expect((await server.call('/api/v1/users', { key: server.keyA, headers: { 'x-plinth-tenant': server.database.tenantA } })).status).toBe(200);
  });
});

describe('operators', () => {
  test('enter a tenant only with a reason, which stands in its audit log once in ten minutes', async () => {
    const { tenantB } = server.database;
    for (const none of ['', ' ', '%20%0A%C2%A0'])
      expect(
        (await server.call('/api/v1/users', { key: server.operator, headers: { 'x-plinth-tenant': tenantB, 'x-plinth-reason': none } })).body,
      ).toMatchObject({
        status: 400,
        code: 'kernel_reason_required',
      });
    const headers = { 'x-plinth-tenant': tenantB, 'x-plinth-reason': encodeURIComponent('Anfrage 42: wo bleibt die Lieferung? 配送') };
    for (let i = 0; i < 3; i++) expect((await server.call('/api/v1/users', { key: server.operator, headers })).status).toBe(200);
    const other = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }) });
    await other(new Request('http://plinth.test/api/v1/users', { headers: { ...headers, authorization: `Bearer ${server.operator}` } }));
    const entries = await server.call('/api/v1/lists/audit/entries?q=action:operator.accessed&limit=200', { key: server.keyB });
    const reasons = (entries.body as { rows: { reason: string }[] }).rows.map((row) => row.reason);
    expect(reasons.filter((reason) => reason === 'Anfrage 42: wo bleibt die Lieferung? 配送')).toHaveLength(1);
    const accesses = await server.call('/api/v1/lists/access/operator_access?q=reason:Anfrage*', { key: server.keyB });
    expect((accesses.body as { rows: unknown[] }).rows).toHaveLength(1);
    await other.settle();
  });

  test('calls that come at once are one look', async () => {
    const ask = (tenant: Record<string, string>) =>
      server.call('/api/v1/users', { key: server.operator, headers: { ...tenant, 'x-plinth-reason': 'all at once' } });
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask({ 'x-plinth-tenant': server.database.tenantB })));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    for (const table of ['plinth_access.operator_access', 'plinth_audit.entries'])
      expect((await server.database.admin.query(`select from ${table} where reason = 'all at once'`)).rows, table).toHaveLength(1);
  });

  test('reads across tenants need a reason too and are written down', async () => {
    expect((await server.call('/api/v1/lists/audit/entries', { key: server.operator })).body).toMatchObject({ code: 'kernel_reason_required' });
    const found = await server.call('/api/v1/lists/audit/entries', { key: server.operator, headers: { 'x-plinth-reason': 'a look around' } });
    expect(new Set((found.body as { rows: { tenant_id: string }[] }).rows.map((row) => row.tenant_id)).size).toBeGreaterThan(1);
    const { rows } = await server.database.admin.query(`select tenant_id from plinth_access.operator_access where reason = 'a look around'`);
    expect(rows).toEqual([{ tenant_id: '00000000-0000-0000-0000-000000000000' }]);
  });

  test('find a tenant among many by its slug, its name or its id, and never by what SQL would make of the text', async () => {
    const make = async (slug: string, name: string) =>
      ((await server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug, name } })).body as { id: string }).id;
    const [oak] = [await make('oak-1', '100% Wood'), await make('pine', 'Oakland Timber')];
    const found = async (q: string): Promise<string[]> => {
      const { body } = await server.call(`/api/v1/tenants?q=${encodeURIComponent(q)}`, { key: server.operator });
      return (body as { tenants: { slug: string }[] }).tenants.map(({ slug }) => slug);
    };
    expect(await found(' OAK')).toEqual(['pine', 'oak-1']);
    expect(await found('100%')).toEqual(['oak-1']);
    expect(await found(oak)).toEqual(['oak-1']);
    expect(await found('%')).toEqual(['oak-1']);
    expect(await found("' or true --")).toEqual([]);
  });

  test('cannot enter a tenant that does not exist', async () => {
    const headers = { 'x-plinth-tenant': crypto.randomUUID(), 'x-plinth-reason': 'x' };
    expect((await server.call('/api/v1/users', { key: server.operator, headers })).body).toMatchObject({ status: 404, code: 'access_tenant_unknown' });
  });

  test('make and suspend tenants, whose keys are refused from then on', async () => {
    const made = await server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug: 'newcomer', name: 'Newcomer' } });
    const { id } = made.body as { id: string };
    const { secret } = await server.makeKey(id, ['*']);
    expect((await whoAmI(secret)).status).toBe(200);
    expect((await server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug: 'newcomer', name: 'Again' } })).body).toMatchObject({
      code: 'access_tenant_exists',
    });
    await server.call(`/api/v1/tenants/${id}`, { method: 'PATCH', key: server.operator, body: { status: 'suspended' } });
    expect((await whoAmI(secret)).body).toMatchObject({ status: 403, code: 'access_tenant_suspended' });
    await server.call(`/api/v1/tenants/${id}`, { method: 'PATCH', key: server.operator, body: { status: 'active' } });
    const log = await server.call('/api/v1/lists/audit/entries?q=entity_type:tenant%20-action:operator.accessed', { key: secret });
    expect((log.body as { rows: { action: string }[] }).rows.map((row) => row.action)).toEqual(['tenant.updated', 'tenant.updated', 'tenant.created']);
  });

  test('the first key is made once, and PLINTH_ADMIN_KEY is taken as it is', async () => {
    expect(await ensureAdminKey(server.database.plinth)).toMatchObject({ secret: undefined, created: false });
    const own = newSecret('operator');
    expect(await ensureAdminKey(server.database.plinth, own)).toMatchObject({ secret: own, created: true });
    expect(await ensureAdminKey(server.database.plinth, own)).toMatchObject({ secret: own, created: false });
    expect((await whoAmI(own)).body).toMatchObject({ principal: { operator: true } });
    await expect(ensureAdminKey(server.database.plinth, 'admin')).rejects.toThrow(/not a Plinth key/);
    const race = await Promise.all(Array.from({ length: 5 }, () => ensureAdminKey(server.database.plinth, newSecretOnce)));
    expect(race.filter(({ created }) => created)).toHaveLength(1);
  });

  test('a revoked or expired PLINTH_ADMIN_KEY stays so at the next start', async () => {
    const { plinth } = server.database;
    for (const [name, change] of [
      ['revoked', 'revoked_at = now()'],
      ['expired', `expires_at = now() - interval '1 second'`],
    ] as const) {
      const own = newSecret('operator');
      const { id } = await ensureAdminKey(plinth, own);
      await server.database.admin.query(`update plinth_access.operator_keys set ${change} where id = $1`, [id]);
      await expect(ensureAdminKey(plinth, own)).rejects.toMatchObject({ code: `access_admin_key_${name}`, status: 409 });
      await expect(ensureAdminKey(plinth, own)).rejects.not.toThrow(own);
      expect((await whoAmI(own)).body).toMatchObject({ status: 401, code: `access_key_${name}` });
    }
  });

  test('making and revoking operator keys is in the audit log, with the reason where one is given; operators across all tenants see it', async () => {
    const entriesOf = async (id: string) => {
      const headers = { 'x-plinth-reason': 'who made this key?' };
      const found = await server.call(`/api/v1/lists/audit/entries?q=entity_type:operator_key%20entity_id:${id}`, { key: server.operator, headers });
      expect((await server.call(`/api/v1/lists/audit/entries?q=entity_id:${id}`, { key: server.keyA })).body).toMatchObject({ rows: [] });
      return (found.body as { rows: object[] }).rows;
    };
    const { principal } = (await whoAmI(server.operator)).body as { principal: { actor: { id: string } } };
    const why = { 'x-plinth-reason': 'ticket 7' };
    const made = await server.call('/api/v1/operators/keys', {
      method: 'POST',
      key: server.operator,
      headers: why,
      body: { name: 'night shift', scopes: ['*'] },
    });
    const { id, secret } = made.body as { id: string; secret: string };
    for (const _twice of [1, 2]) await server.call(`/api/v1/operators/keys/${id}`, { method: 'DELETE', key: server.operator });
    const entries = await entriesOf(id);
    expect(entries).toMatchObject([
      { action: 'operator_key.revoked', actor_type: 'operator', actor_id: principal.actor.id, reason: null },
      { action: 'operator_key.created', actor_type: 'operator', actor_id: principal.actor.id, reason: 'ticket 7' },
    ]);
    expect(JSON.stringify(entries)).not.toContain(secret);
    const own = await ensureAdminKey(server.database.plinth, newSecret('operator'));
    expect(await entriesOf(own.id)).toMatchObject([{ action: 'operator_key.created', actor_type: 'system', actor_id: 'plinth' }]);
  });
});
const newSecretOnce = newSecret('operator');

describe('tokens', () => {
  const claims = () => ({ sub: 'auth0|7', tenant_id: server.database.tenantA, roles: ['viewer'] });

  test('a token is its user, with the permissions of its roles', async () => {
    const token = await hs256(claims());
    expect((await whoAmI(token)).body).toMatchObject({
      principal: { actor: { type: 'user', id: 'auth0|7' }, tenant_id: server.database.tenantA, roles: ['viewer'], scopes: ['*.read'], operator: false },
    });
    expect((await server.call('/api/v1/users', { key: token })).status).toBe(200);
    expect((await server.call('/api/v1/users', { method: 'POST', key: token, body: {} })).body).toMatchObject({ status: 403, permission: 'access.admin' });
  });

  test('a token without roles has those of the member, and a suspended member has none', async () => {
    const { roles: _roles, ...rest } = claims();
    await server.call('/api/v1/users', { method: 'POST', key: server.keyA, body: { id: 'auth0|7', roles: ['member'] } });
    expect((await whoAmI(await hs256(rest))).body).toMatchObject({ principal: { roles: ['member'] } });
    await server.call('/api/v1/users/auth0%7C7', { method: 'PATCH', key: server.keyA, body: { status: 'suspended' } });
    expect((await whoAmI(await hs256(claims()))).body).toMatchObject({ status: 403, code: 'access_user_suspended' });
    await server.call('/api/v1/users/auth0%7C7', { method: 'DELETE', key: server.keyA });
  });

  test('the roles of a tenant are its own', async () => {
    await server.call('/api/v1/roles/clerk', { method: 'PUT', key: server.keyA, body: { permissions: ['audit.read'] } });
    expect((await whoAmI(await hs256({ ...claims(), roles: ['clerk'] }))).body).toMatchObject({ principal: { scopes: ['audit.read'] } });
    expect((await whoAmI(await hs256({ ...claims(), tenant_id: server.database.tenantB, roles: ['clerk'] }))).body).toMatchObject({
      principal: { scopes: [] },
    });
  });

  const part = (value: object): string => base64url.encode(JSON.stringify(value));
  const payload = () => part({ iss: 'https://id.test', aud: 'plinth', exp: soon(), ...claims() });
  const forgeries: [string, () => Promise<string> | string][] = [
    ['expired', () => hs256({ ...claims(), exp: soon() - 700 })],
    ['without an end', () => hs256({ ...claims(), exp: undefined as unknown as number })],
    ['not valid yet', () => hs256({ ...claims(), nbf: soon() })],
    ['of another issuer', () => hs256({ ...claims(), iss: 'https://evil.test' })],
    ['for another audience', () => hs256({ ...claims(), aud: 'other' })],
    ['signed with another secret', () => hs256(claims(), 'another secret of a test, longer than 32 bytes')],
    ['signed with another length of HMAC', () => hs256(claims(), SECRET.repeat(2), 'HS512')],
    ['with alg none', () => `${part({ alg: 'none' })}.${payload()}.`],
    ['with alg None', () => `${part({ alg: 'None' })}.${payload()}.`],
    ['with no signature', async () => (await hs256(claims())).replace(/\.[^.]*$/, '.')],
    ['with a changed payload', async () => (await hs256(claims())).replace(/\.[^.]*\./, `.${payload().slice(0, -4)}AAAA.`)],
    ['with a critical header nobody knows', async () => `${part({ alg: 'HS256', crit: ['exp2'], exp2: 1 })}.${payload()}.AAAA`],
    ['of an unknown tenant', () => hs256({ ...claims(), tenant_id: crypto.randomUUID() })],
    ['without a tenant', () => hs256({ sub: 'x' })],
    ['without a user', () => hs256({ tenant_id: server.database.tenantA })],
    ['with a number for a tenant', () => hs256({ ...claims(), tenant_id: 7 })],
    ['that is no token', () => 'eyJhbGciOiJIUzI1NiJ9'],
    ['with roles of the wrong form', () => hs256({ ...claims(), roles: { admin: true } as unknown as string[] })],
  ];
  test.each(forgeries)('a token %s is refused', async (_what, make) => {
    const { status, body, text } = await whoAmI(await make());
    expect(body, text).toMatchObject({ status: 401, code: 'access_token_invalid' });
    expect(status).toBe(401);
  });

  test('a token signed with a public key is refused where a secret is configured', async () => {
    const { privateKey } = await generateKeyPair('RS256');
    const token = await new SignJWT({ iss: 'https://id.test', aud: 'plinth', exp: soon(), ...claims() }).setProtectedHeader({ alg: 'RS256' }).sign(privateKey);
    expect((await whoAmI(token)).status).toBe(401);
  });

  test('without a configuration no token is taken', async () => {
    const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }) });
    const response = await handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: `Bearer ${await hs256(claims())}` } }));
    expect(await response.json()).toMatchObject({ code: 'access_token_unsupported' });
    const wrong = await handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: 'Bearer wrong' } }));
    expect(await wrong.json(), 'no key, and not meant as a token').toMatchObject({ status: 401, code: 'access_key_unknown' });
  });
});

describe('key sets', () => {
  test('public keys are fetched, unknown ones asked for again, and never serve as a secret', async () => {
    const rsa = await generateKeyPair('RS256', { extractable: true });
    const ed = await generateKeyPair('EdDSA', { extractable: true });
    const stranger = await generateKeyPair('RS256');
    const keys = await Promise.all([
      exportJWK(rsa.publicKey).then((jwk) => ({ ...jwk, kid: 'one' })),
      exportJWK(ed.publicKey).then((jwk) => ({ ...jwk, kid: 'two' })),
    ]);
    let up = true;
    const identity = createServer((_request, response) =>
      up ? response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys })) : response.writeHead(503).end(),
    );
    await new Promise<void>((done) => void identity.listen(0, '127.0.0.1', done));
    try {
      const { port } = identity.address() as AddressInfo;
      const jwt = {
        jwksUrl: `http://127.0.0.1:${port}/keys`,
        claims: { tenant: ['https://app.test/tenant', 'app.tenant'], user: 'email', roles: 'app.roles' },
      };
      const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), auth: { jwt, cacheMs: 0 } });
      const ask = async (token: string) =>
        handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: `Bearer ${token}` } })).then((response) => response.json());
      const facts = { email: 'ada@test', app: { tenant: server.database.tenantA, roles: 'viewer admin' }, exp: soon() };
      const sign = (key: Parameters<SignJWT['sign']>[0], alg: string, kid: string, more: JWTPayload = {}) =>
        new SignJWT({ ...facts, ...more }).setProtectedHeader({ alg, kid }).sign(key);
      expect(await ask(await sign(rsa.privateKey, 'RS256', 'one'))).toMatchObject({
        principal: { actor: { type: 'user', id: 'ada@test' }, roles: ['viewer', 'admin'], tenant_id: server.database.tenantA },
      });
      expect(await ask(await sign(ed.privateKey, 'EdDSA', 'two', { 'https://app.test/tenant': server.database.tenantB }))).toMatchObject({
        principal: { tenant_id: server.database.tenantB },
      });
      const confused = await new SignJWT(facts)
        .setProtectedHeader({ alg: 'HS256', kid: 'one' })
        .sign(new TextEncoder().encode(await exportSPKI(rsa.publicKey)));
      expect(await ask(confused)).toMatchObject({ status: 401, code: 'access_token_invalid' });
      expect(await ask(await sign(stranger.privateKey, 'RS256', 'one'))).toMatchObject({ status: 401 });
      expect(await ask(await sign(stranger.privateKey, 'RS256', 'three'))).toMatchObject({ status: 401 });
      up = false;
      expect(await ask(await sign(rsa.privateKey, 'RS256', 'one'))).toMatchObject({ principal: { roles: ['viewer', 'admin'] } });
      await handler.settle();
    } finally {
      identity.close();
    }
  });

  test('a key set that cannot be reached is 503, not 401', async () => {
    const auth = { jwt: { jwksUrl: 'http://127.0.0.1:9/keys' } };
    const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), auth });
    const { privateKey } = await generateKeyPair('ES256');
    const token = await new SignJWT({ exp: soon() }).setProtectedHeader({ alg: 'ES256', kid: 'x' }).sign(privateKey);
    const response = await handler(new Request('http://plinth.test/api/v1/me', { headers: { authorization: `Bearer ${token}` } }));
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
  });

  test('settings that would be unsafe are refused at start', () => {
    const plinth = server.database.plinth;
    const services = createServices({ log: { level: 'silent' } });
    expect(() => createHandler({ plinth, services, auth: { jwt: { secret: 'short' } } })).toThrow(/32 bytes/);
    expect(() => createHandler({ plinth, services, auth: { jwt: { secret: SECRET, jwksUrl: 'https://id.test' } } })).toThrow(/either/);
    expect(() => createHandler({ plinth, services, auth: { jwt: { jwksUrl: 'https://id.test', algorithms: ['RS256', 'HS256'] } } })).toThrow(/HS256 cannot/);
    expect(() => createHandler({ plinth, services, auth: { jwt: { secret: SECRET, algorithms: ['none'] } } })).toThrow(/none cannot/);
  });
});

test('no credential is 401 with the way to send one, and the log holds no secret', async () => {
  const { status, headers, body } = await whoAmI(undefined);
  expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
  expect(body).toMatchObject({ code: 'kernel_unauthenticated' });
  const broken = vi
    .spyOn(server.database.plinth, 'transaction')
    .mockRejectedValueOnce(new Error(`cannot reach postgres://app:hunter2@db/x with ${server.keyA}`));
  const failed = await server.call('/api/v1/users', { key: server.keyA });
  broken.mockRestore();
  expect(failed.body).toMatchObject({ status: 500, code: 'kernel_internal' });
  expect(failed.text).not.toMatch(/hunter2|postgres/);
  const log = server.logged.join('');
  expect(log).toContain((failed.body as { correlation_id: string }).correlation_id);
  expect(log).not.toMatch(/hunter2/);
  expect(log).not.toContain(server.keyA);
});
