/** Links into the customer portal: what one opens, what it never opens, and when it stops. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { createPlinth } from '../../index.ts';
import { createHandler, createServices } from './index.ts';
import type { Answer, CallOptions, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const MASTER = Buffer.alloc(32, 7).toString('base64');
const OTHER = Buffer.alloc(32, 9).toString('base64');
const keys = createKeyRing({ current: MASTER });
const PORTAL = '/api/v1/webhooks/portal';
const APP = 'https://app.example.com';
let server: TestServer;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'plinth-portal-'));
  await writeFile(join(directory, 'portal.html'), '<!doctype html><title>portal</title>');
  await writeFile(join(directory, 'index.html'), '<!doctype html><title>console</title>');
  server = await testServer('portal', { keys, console: { directory }, portal: { origins: [APP], publicUrl: 'https://plinth.example.com' } });
  for (const key of [server.keyA, server.keyB]) {
    for (const [name, visibility] of Object.entries({ 'order.paid': 'public', 'order.audited': 'internal' })) {
      const body = { schema: { type: 'object' }, visibility, description: `${name} of a test`, example: { total: 1 } };
      const put = await server.call(`/api/v1/event-types/${name}`, { method: 'PUT', key, body });
      expect(put.status, put.text).toBe(200);
    }
  }
});
afterAll(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

interface Link {
  id: string;
  url: string;
  token: string;
  expires_at: string;
}
async function link(options: Record<string, unknown> = {}, key = server.keyA): Promise<Link> {
  const made = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key, body: options });
  expect(made.status, made.text).toBe(200);
  return made.body as Link;
}
const code = (answer: Answer): unknown => (answer.body as { code?: string } | undefined)?.code;
const ask = (token: string, path: string, options: CallOptions = {}): Promise<Answer> => server.call(`${PORTAL}${path}`, { ...options, key: token });
const post = (token: string, path: string, body: unknown = {}): Promise<Answer> => ask(token, path, { method: 'POST', body });
let made = 0;
async function endpoint(token: string, more: Record<string, unknown> = {}): Promise<{ id: string; secret: string }> {
  made += 1;
  const answer = await post(token, '/endpoints', { name: `endpoint ${made}`, url: 'https://example.com/hooks', event_types: ['order.paid'], ...more });
  expect(answer.status, answer.text).toBe(200);
  return answer.body as { id: string; secret: string };
}
/** A claim of a signed token changed, the signature left as it was. */
const tampered = (token: string, change: Record<string, unknown>): string => {
  const [head = '', , signature = ''] = token.split('.');
  return `${head}.${Buffer.from(JSON.stringify({ ...decodeJwt(token), ...change })).toString('base64url')}.${signature}`;
};

describe('a link', () => {
  test('is made by whoever manages webhooks, and is in the audit log without its token', async () => {
    const { id, url, token, expires_at } = await link({ expires_in: 600, capabilities: 'read', subject: 'ana@customer.test' });
    expect(url).toBe(`https://plinth.example.com/portal/${token}`);
    expect(new Date(expires_at).getTime() - Date.now()).toBeLessThanOrEqual(600_000);
    const { rows } = await server.database.admin.query(`select action, after, actor_type from plinth.audit_logs where tenant_id = $1 and entity_id = $2`, [
      server.database.tenantA,
      id,
    ]);
    expect(rows).toMatchObject([
      { action: 'webhooks.portal_link_created', actor_type: 'api_key', after: { subject: 'ana@customer.test', capabilities: 'read' } },
    ]);
    expect(JSON.stringify(rows)).not.toContain(token);
    const reader = await server.makeKey(server.database.tenantA, ['webhooks.read']);
    const refused = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: reader.secret, body: {} });
    expect([refused.status, code(refused)]).toEqual([403, 'kernel_forbidden']);
  });

  test.each([
    { expires_in: 604_801 },
    { expires_in: 1 },
    { return_url: 'javascript:alert(1)' },
    { return_url: '/relative' },
    { locale: 'no such locale' },
    { capabilities: 'all' },
    { theme: 'pink' },
  ])('is refused with %j', async (options) => {
    const answer = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: options });
    expect([answer.status, code(answer)]).toEqual([400, 'kernel_invalid_input']);
  });

  test('told once: the same Idempotency-Key tells it no more', async () => {
    const headers = { 'idempotency-key': 'one-link' };
    const first = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: {}, headers });
    const again = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: {}, headers });
    expect(again.body).toEqual({ ...(first.body as Link), token: null, url: null });
  });

  test('needs a master key', async () => {
    const bare = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }) });
    const headers = { authorization: `Bearer ${server.keyA}`, 'content-type': 'application/json' };
    const answer = await bare(new Request('http://plinth.test/api/v1/webhooks/portal-links', { method: 'POST', headers, body: '{}' }));
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([503, 'webhooks_portal_keys_missing']);
    await bare.settle();
  });
});

describe('a token', () => {
  test('is refused when it is changed, of another purpose, of another key, or unsigned', async () => {
    const { token } = await link({ capabilities: 'read' });
    const ring = createKeyRing({ current: OTHER });
    const { tenantA, tenantB } = server.database;
    const sign = (typ: string, audience: string, key: Buffer | undefined, kid = keys.current): Promise<string> =>
      new SignJWT({ ...decodeJwt(token) })
        .setProtectedHeader({ alg: 'HS256', typ, kid })
        .setAudience(audience)
        .sign(key ?? Buffer.alloc(32));
    const own = keys.derive(tenantA, 'plinth webhooks portal');
    const good = await sign('plinth-portal+jwt', 'plinth-webhooks-portal', own);
    expect((await ask(good, '/session')).status).toBe(200);
    const wrong = [
      tampered(token, { cap: 'manage' }),
      tampered(token, { tenant: tenantB }),
      tampered(token, { exp: 4_000_000_000 }),
      tampered(token, { tenant: 'nobody' }),
      await sign('plinth-portal+jwt', 'plinth-console', own),
      await sign('plinth-portal+jwt', 'plinth-webhooks-portal', keys.derive(tenantA, 'another purpose')),
      await sign('plinth-portal+jwt', 'plinth-webhooks-portal', keys.derive(tenantB, 'plinth webhooks portal')),
      await sign('plinth-portal+jwt', 'plinth-webhooks-portal', ring.derive(tenantA, 'plinth webhooks portal'), ring.current),
      `${Buffer.from('{"alg":"none","typ":"plinth-portal+jwt"}').toString('base64url')}.${token.split('.')[1]}.`,
      `${token.slice(0, -4)}AAAA`,
    ];
    for (const one of wrong) {
      const answer = await ask(one, '/endpoints');
      expect([answer.status, code(answer)], one).toEqual([401, 'webhooks_portal_link_invalid']);
    }
    // Not of the form of a link at all: taken for a token of a user.
    expect((await ask(await sign('JWT', 'plinth-webhooks-portal', own), '/endpoints')).status).toBe(401);
  });

  test('is refused when its time is over, also where it was seen before', async () => {
    const { token } = await link({ expires_in: 60 });
    let ahead = 0;
    const clock = { ...systemClock, now: () => Date.now() + ahead };
    const plinth = createPlinth({ database: { url: server.database.serverUrl, max: 2 }, keys, clock });
    const handler = createHandler({ plinth, services: createServices({ log: { level: 'silent' } }) });
    try {
      const headers = { authorization: `Bearer ${token}` };
      expect((await handler(new Request(`http://plinth.test${PORTAL}/endpoints`, { headers }))).status).toBe(200);
      ahead = 61_000;
      const answer = await handler(new Request(`http://plinth.test${PORTAL}/endpoints`, { headers }));
      expect([answer.status, await answer.json()]).toMatchObject([401, { code: 'webhooks_portal_link_expired' }]);
      const opened = await handler(new Request(`http://plinth.test/portal/${token}`));
      expect([opened.status, opened.headers.get('location')]).toEqual([303, '/portal#webhooks_portal_link_expired']);
    } finally {
      await handler.settle();
      await plinth.close();
    }
  });

  test('is void once the links of the tenant were taken back; those of others and later ones are not', async () => {
    const [a, b] = [await link(), await link({}, server.keyB)];
    expect((await ask(a.token, '/endpoints')).status).toBe(200);
    const revoked = await server.call('/api/v1/webhooks/portal-links?reason=laptop%20lost', { method: 'DELETE', key: server.keyA });
    expect(revoked.status, revoked.text).toBe(200);
    const answer = await ask(a.token, '/endpoints');
    expect([answer.status, code(answer)]).toEqual([401, 'webhooks_portal_link_revoked']);
    expect((await ask(b.token, '/endpoints')).status).toBe(200);
    expect((await ask((await link()).token, '/endpoints')).status).toBe(200);
    const { rows } = await server.database.admin.query(
      `select reason from plinth.audit_logs where tenant_id = $1 and action = 'webhooks.portal_links_revoked'`,
      [server.database.tenantA],
    );
    expect(rows).toEqual([{ reason: 'laptop lost' }]);
    const confined = await server.call('/api/v1/webhooks/portal-links', { method: 'DELETE', key: b.token });
    expect([confined.status, code(confined)]).toEqual([403, 'webhooks_portal_confined']);
  });

  test('opens nothing but the portal, by whatever way', async () => {
    const { token } = await link();
    const { token: idle } = await link({}, server.keyB);
    for (const [method, path] of [
      ['GET', '/api/v1/webhooks/subscriptions/0197f3a0-0000-7000-8000-000000000000'],
      ['GET', '/api/v1/lists/webhooks/subscriptions'],
      ['GET', '/api/v1/lists'],
      ['GET', '/api/v1/find?q=order'],
      ['GET', '/api/v1/me'],
      ['GET', '/api/v1/event-types'],
      ['POST', '/api/v1/events'],
      ['POST', '/api/v1/keys'],
      ['POST', '/api/v1/webhooks/portal-links'],
      ['POST', '/api/v1/webhooks/preview'],
      ['GET', '/api/trpc/system.webhooks.portal.endpoints.list'],
      ['GET', '/api/trpc/system.lists.index'],
      ['GET', '/realtime?topics=events'],
    ] as const) {
      const answer = await server.call(path, { method, key: token, ...(method === 'POST' ? { body: {} } : {}) });
      expect([answer.status, answer.text.includes('webhooks_portal_confined')], `${method} ${path} ${answer.text}`).toEqual([403, true]);
    }
    const other = await ask(idle, '/endpoints', { headers: { 'x-plinth-tenant': server.database.tenantA } });
    expect(other.status).toBe(403);
  });

  test('that may only read changes nothing', async () => {
    const { token } = await link({ capabilities: 'read' });
    const { token: manage } = await link();
    const { id } = await endpoint(manage);
    expect((await ask(token, `/endpoints/${id}`)).status).toBe(200);
    for (const [method, path] of [
      ['POST', '/endpoints'],
      ['PATCH', `/endpoints/${id}`],
      ['DELETE', `/endpoints/${id}`],
      ['POST', `/endpoints/${id}/disable`],
      ['POST', `/endpoints/${id}/rotate-secret`],
      ['POST', `/endpoints/${id}/rotate-key`],
      ['POST', `/endpoints/${id}/test`],
      ['POST', `/endpoints/${id}/resume`],
      ['POST', `/endpoints/${id}/replays`],
      ['POST', `/attempts/${id}/resend`],
      ['POST', `/replays/${id}/cancel`],
    ] as const) {
      const answer = await ask(token, path, { method, body: {} });
      expect([answer.status, code(answer)], `${method} ${path}`).toEqual([403, 'kernel_forbidden']);
    }
  });
});

describe('a session in a browser', () => {
  const open = async (token: string, headers: Record<string, string> = {}): Promise<{ cookie: string; set: string; location: string }> => {
    const answer = await server.call(`/portal/${token}`, { headers });
    expect(answer.status).toBe(303);
    const set = answer.headers.get('set-cookie') ?? '';
    return { set, cookie: set.split(';')[0] ?? '', location: answer.headers.get('location') ?? '' };
  };
  const same = { 'sec-fetch-site': 'same-origin' };

  test('is opened by the link, whose token leaves the address and stays out of reach of scripts', async () => {
    const { token, id } = await link({ expires_in: 600, return_url: 'https://app.example.com/settings', locale: 'de-CH', theme: 'dark' });
    const { set, cookie, location } = await open(token);
    expect(location).toBe(`/portal#${id}`);
    expect(set).toMatch(/; Path=\/api\/v1\/webhooks\/portal; Max-Age=\d{1,3}; HttpOnly; SameSite=Strict$/);
    const session = await server.call(`${PORTAL}/session`, { headers: { cookie, 'x-plinth-portal': id, ...same } });
    expect(session.body).toMatchObject({
      id,
      tenant_id: server.database.tenantA,
      capabilities: 'manage',
      return_url: 'https://app.example.com/settings',
      locale: 'de-CH',
      theme: 'dark',
    });
    expect((await server.call(`${PORTAL}/endpoints`, { headers: { cookie, 'x-plinth-portal': id, ...same } })).status).toBe(200);
    const out = await server.call(`${PORTAL}/logout`, { method: 'POST', headers: { cookie, ...same } });
    expect(out.headers.getSetCookie()).toHaveLength(2);
    expect(out.headers.getSetCookie().every((text) => text.includes('Max-Age=0'))).toBe(true);
  });

  test('lasts at most 12 hours, however long the link does', async () => {
    expect((await open((await link({ expires_in: 604_800 })).token)).set).toContain('Max-Age=43200;');
  });

  test('counts only for the page of its own link, on its own site', async () => {
    const { token, id } = await link();
    const { cookie } = await open(token);
    const call = (headers: Record<string, string>): Promise<Answer> => server.call(`${PORTAL}/endpoints`, { headers: { cookie, ...headers } });
    expect(code(await call({ 'x-plinth-portal': (await link()).id, ...same }))).toBe('webhooks_portal_session_missing');
    expect(code(await call(same))).toBe('kernel_unauthenticated');
    expect(code(await call({ 'x-plinth-portal': id, 'sec-fetch-site': 'cross-site', origin: APP }))).toBe('access_cross_site');
    expect(code(await server.call(`${PORTAL}/endpoints`, { headers: { 'x-plinth-portal': id, ...same } }))).toBe('webhooks_portal_session_missing');
    expect(code(await server.call(`${PORTAL}/session`, { headers: same }))).toBe('webhooks_portal_session_missing');
    // Outside the API of the portal it is nothing, even where a browser would send it.
    expect((await server.call('/api/v1/me', { headers: { cookie, 'x-plinth-portal': id, ...same } })).status).toBe(403);
  });

  test('a page inside a page of a configured origin gets a cookie of its own kind', async () => {
    const { token } = await link();
    expect((await open(token, { 'sec-fetch-dest': 'iframe' })).set).toMatch(/HttpOnly; SameSite=None; Secure; Partitioned$/);
    expect((await open(token, { 'sec-fetch-dest': 'document' })).set).toMatch(/SameSite=Strict$/);
  });

  test('a link that is none leads to the page that says so', async () => {
    expect((await open('nonsense')).location).toBe('/portal#webhooks_portal_link_invalid');
    expect((await open('nonsense')).set).toBe('');
  });

  test('the page is framed by configured origins only, and by nobody otherwise', async () => {
    const page = await server.call('/portal');
    expect([page.status, page.text]).toEqual([200, '<!doctype html><title>portal</title>']);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain(`frame-ancestors ${APP}`);
    expect(policy).not.toMatch(/unsafe|\*/);
    const alone = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), console: { directory } });
    const unframed = await alone(new Request('http://plinth.test/portal'));
    expect(unframed.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect((await server.call('/console')).headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(() => createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), portal: { origins: ['*'] } })).toThrow(
      /not an origin/,
    );
  });

  test('pages of configured origins may call with a token, others may not read the answer', async () => {
    const { token } = await link();
    const preflight = (origin: string): Promise<Answer> =>
      server.call(`${PORTAL}/endpoints`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } });
    expect((await preflight(APP)).headers.get('access-control-allow-origin')).toBe(APP);
    expect((await preflight('https://evil.test')).headers.get('access-control-allow-origin')).toBeNull();
    const answer = await ask(token, '/endpoints', { headers: { origin: APP, 'sec-fetch-site': 'cross-site' } });
    expect([answer.status, answer.headers.get('access-control-allow-origin'), answer.headers.get('access-control-allow-credentials')]).toEqual([
      200,
      APP,
      null,
    ]);
    const failed = await ask('plk_no', '/endpoints', { headers: { origin: APP } });
    expect([failed.status, failed.headers.get('access-control-allow-origin')]).toEqual([401, APP]);
    expect((await ask(token, '/endpoints', { headers: { origin: 'https://evil.test' } })).headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('in the portal', () => {
  test('endpoints are made, changed, stopped, started and deleted, in the name of the link', async () => {
    const { token, id: linkId } = await link();
    const { id, secret } = await endpoint(token, { signing: 'both' });
    expect(secret).toMatch(/^whsec_/);
    const changed = await ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { url: 'https://example.com/other', description: 'orders' } });
    expect(changed.body).toMatchObject({ id, url: 'https://example.com/other', description: 'orders', patterns: ['order.paid'], enabled: true });
    expect((await post(token, `/endpoints/${id}/disable`)).body).toMatchObject({ enabled: false });
    expect(code(await post(token, `/endpoints/${id}/test`))).toBe('webhooks_subscription_disabled');
    expect((await post(token, `/endpoints/${id}/resume`, { mode: 'skip' })).body).toMatchObject({ replay_id: null });
    expect((await ask(token, `/endpoints/${id}`)).body).toMatchObject({ enabled: true });
    expect((await post(token, `/endpoints/${id}/rotate-secret`, { overlap_seconds: 3600 })).body).toEqual({ secret: expect.stringMatching(/^whsec_/) });
    expect((await post(token, `/endpoints/${id}/rotate-key`)).body).toEqual({ key_id: expect.any(String) });
    expect((await post(token, `/endpoints/${id}/test`)).body).toEqual({ delivery_id: expect.any(String), paused_until: null });
    expect((await ask(token, `/endpoints/${id}`, { method: 'DELETE' })).body).toEqual({ id });
    const { rows } = await server.database.admin.query<{ action: string; actor: string }>(
      `select action, actor_type || ' ' || actor_id as actor from plinth.audit_logs where tenant_id = $1 and entity_id = $2 order by id`,
      [server.database.tenantA, id],
    );
    expect(rows.length).toBeGreaterThan(4);
    expect(new Set(rows.map(({ actor }) => actor))).toEqual(new Set([`portal ${linkId}`]));
  });

  test('another tenant finds none of it', async () => {
    const [a, b] = [(await link()).token, (await link({}, server.keyB)).token];
    const { id } = await endpoint(a);
    for (const answer of [
      await ask(b, `/endpoints/${id}`),
      await ask(b, `/endpoints/${id}`, { method: 'PATCH', body: { name: 'mine' } }),
      await ask(b, `/endpoints/${id}`, { method: 'DELETE' }),
      await post(b, `/endpoints/${id}/disable`),
      await post(b, `/endpoints/${id}/rotate-secret`),
      await post(b, `/endpoints/${id}/test`),
      await post(b, `/endpoints/${id}/replays`, { only_failed: true }),
    ]) {
      expect([answer.status, code(answer)]).toEqual([404, 'webhooks_subscription_not_found']);
    }
    expect((await ask(b, '/endpoints')).body).toEqual({ endpoints: [], next_cursor: null });
    expect((await ask(a, `/endpoints/${id}`)).body).toMatchObject({ enabled: true });
  });

  test('no more than 100 endpoints are made, also by two at once; the limit is of one customer', async () => {
    const [{ token }, own] = [await link({}, server.keyB), await link()];
    const { tenantB } = server.database;
    const before = Number(
      (await server.database.admin.query('select count(*) as n from plinth_webhooks.subscriptions where tenant_id = $1', [tenantB])).rows[0]?.n,
    );
    await server.database.plinth.transaction({ tenantId: tenantB }, (tx) =>
      tx.query(`select plinth.subscribe('by the back end ' || n, '{order.paid}', 'https://example.com/hooks') from generate_series(1, $1) n`, [99 - before]),
    );
    const body = { url: 'https://example.com/hooks', event_types: ['order.paid'] };
    const both = await Promise.all(['first', 'second'].map((name) => post(token, '/endpoints', { name, ...body })));
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(both.map(code)).toContain('webhooks_endpoints_full');
    await endpoint(own.token);
    await server.database.admin.query(`delete from plinth_webhooks.subscriptions where tenant_id = $1 and name like 'by the back end %'`, [tenantB]);
  });

  test('only public event types are shown and can be chosen, by name', async () => {
    const { token } = await link();
    expect((await ask(token, '/event-types')).body).toMatchObject({
      types: [{ name: 'order.paid', description: 'order.paid of a test', schema: { type: 'object' }, example: { total: 1 } }],
      next_cursor: null,
    });
    for (const event_types of [['order.audited'], ['order.*', 'order.audited'], ['order.paid', 'nothing.known']]) {
      const answer = await post(token, '/endpoints', { name: 'sly', url: 'https://example.com/h', event_types });
      expect([answer.status, code(answer)], event_types.join()).toEqual([400, 'webhooks_type_not_public']);
    }
    const { id } = await endpoint(token);
    expect(code(await ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { event_types: ['order.audited'] } }))).toBe('webhooks_type_not_public');
  });

  test('endpoints, attempts and replays come in pages, and an attempt is sent again', async () => {
    const { token } = await link();
    const { id } = await endpoint(token);
    const { tenantA } = server.database;
    const published = await server.call('/api/v1/events', { method: 'POST', key: server.keyA, body: { type: 'order.paid', data: { total: 3 } } });
    const { id: event } = published.body as { id: string };
    const { rows } = await server.database.admin.query<{ id: string }>(
      `insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, url, response_code, timings, request_headers, request_body)
       select $1, plinth_kernel.uuid_v7(), $2, case when n < 3 then $3::uuid end, 'order.paid', 1, case when n = 1 then 'failed' else 'delivered' end, 'https://example.com/hooks', 200,
         '{"total_ms": 12}', '{"webhook-id": "x"}', '{}' from generate_series(1, 3) n returning id`,
      [tenantA, id, event],
    );
    const first = await ask(token, `/attempts?endpoint_id=${id}&limit=2`);
    const page = first.body as { attempts: { id: string }[]; next_cursor: string };
    expect(page.attempts.map((attempt) => attempt.id)).toEqual([rows[2]?.id, rows[1]?.id]);
    const next = await ask(token, `/attempts?endpoint_id=${id}&limit=2&cursor=${page.next_cursor}`);
    expect(next.body).toMatchObject({ attempts: [{ id: rows[0]?.id, status: 'failed' }], next_cursor: null });
    expect((await ask(token, `/attempts?endpoint_id=${id}&status=failed`)).body).toMatchObject({ attempts: [{ id: rows[0]?.id }] });
    expect((await ask(token, `/attempts/${rows[1]?.id}`)).body).toMatchObject({
      timings: { total_ms: 12 },
      request_headers: { 'webhook-id': 'x' },
      request_body: '{}',
    });
    const b = (await link({}, server.keyB)).token;
    expect(code(await ask(b, `/attempts/${rows[1]?.id}`))).toBe('webhooks_attempt_not_found');
    expect(code(await post(b, `/attempts/${rows[1]?.id}/resend`))).toBe('webhooks_attempt_not_found');

    expect(code(await post(token, `/attempts/${rows[2]?.id}/resend`))).toBe('webhooks_delivery_not_repeatable');
    const again = await post(token, `/attempts/${rows[1]?.id}/resend`);
    expect(again.body).toMatchObject({ replay_id: expect.any(String) });
    expect((await post(token, `/endpoints/${id}/replays/preview`, { since: '2020-01-01T00:00:00Z' })).body).toEqual({ total: 1 });
    const { replay_id } = (await post(token, `/endpoints/${id}/replays`, { since: '2020-01-01T00:00:00Z' })).body as { replay_id: string };
    expect((await ask(token, `/endpoints/${id}/replays`)).body).toMatchObject({
      replays: [{ id: replay_id, status: 'running', total: 1 }, {}],
      next_cursor: null,
    });
    expect((await post(token, `/replays/${replay_id}/cancel`)).body).toEqual({ added: 0 });
    expect(code(await post(b, `/replays/${replay_id}/cancel`))).toBe('webhooks_replay_not_found');

    await server.database.admin.query(
      `insert into plinth_webhooks.deliveries (tenant_id, id, subscription_id, event_id, event_type, body, status, due_at, finished_at)
       select tenant_id, delivery_id, subscription_id, event_id, event_type, '{}', 'failed', 'infinity', now() from plinth_webhooks.attempts where id = $1`,
      [rows[0]?.id],
    );
    expect((await post(token, `/attempts/${rows[0]?.id}/resend`)).body).toMatchObject({ replay_id: null });
    expect(code(await post(token, `/attempts/${rows[0]?.id}/resend`))).toBe('webhooks_delivery_not_dead');
    const endpoints = await ask(token, '/endpoints?limit=1');
    expect(endpoints.body).toMatchObject({ endpoints: [{}], next_cursor: expect.any(String) });
  });

  test('patterns with stars bring public types only; what the back end subscribed gets internal ones until the customer redirects it', async () => {
    const { token } = await link();
    const { id } = await endpoint(token, { event_types: ['#'] });
    const { tenantA, plinth, admin } = server.database;
    const made = await server.call('/api/v1/webhooks/subscriptions', {
      method: 'POST',
      key: server.keyA,
      body: { name: 'of the back end', url: 'https://example.com/h', patterns: ['#'] },
    });
    const backEnd = (made.body as { id: string }).id;
    const consumer = (plinth.modules as ModuleMap).webhooks?.consumers?.['fan-out'];
    if (!consumer) throw new Error('no fan-out');
    let happened = 0;
    const typesTo = async (): Promise<Record<string, string[]>> => {
      while ((await consumeOnce(plinth, 'webhooks.fan-out', consumer)) > 0);
      await admin.query('delete from plinth_webhooks.deliveries where tenant_id = $1', [tenantA]);
      happened += 1;
      const types = ['order.paid', 'order.audited', 'nothing.known'];
      await plinth.transaction({ tenantId: tenantA }, async (tx) => void types.map((type) => tx.events.publish(type, { happened })));
      while ((await consumeOnce(plinth, 'webhooks.fan-out', consumer)) > 0);
      const { rows } = await admin.query<{ subscription_id: string; event_type: string }>(
        'select subscription_id, event_type from plinth_webhooks.deliveries where tenant_id = $1 and event_type = any ($2)',
        [tenantA, types],
      );
      const of = (subscription: string) => rows.filter((row) => row.subscription_id === subscription).map((row) => row.event_type);
      return { portal: of(id).sort(), backEnd: of(backEnd).sort() };
    };
    expect(await typesTo()).toEqual({ portal: ['order.paid'], backEnd: ['nothing.known', 'order.audited', 'order.paid'] });
    expect((await ask(token, `/endpoints/${backEnd}`, { method: 'PATCH', body: { url: 'https://example.com/mine' } })).status).toBe(200);
    expect(await typesTo()).toEqual({ portal: ['order.paid'], backEnd: ['order.paid'] });
    const become = (visibility: string) =>
      server.call('/api/v1/event-types/order.paid', {
        method: 'PUT',
        key: server.keyA,
        body: { schema: { type: 'object' }, visibility, example: { total: 1 } },
      });
    expect((await become('internal')).status).toBe(200);
    expect(await typesTo()).toEqual({ portal: [], backEnd: [] });
    expect((await become('public')).status).toBe(200);
  });
});
