/**
 * Who may call what: every address of the server against every kind of credential. authorisation.fixture.ts has a row for each; one that the server has and the
 * table has not fails here, and so does one that asks for another permission than the table says.
 */
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import type { CallMeta } from '#kernel/rpc.ts';
import { newSecret } from '#kernel/secret-text.ts';
import type { Row } from './authorisation.fixture.ts';
import { addressOf, MOUNTS, ROWS, rowText } from './authorisation.fixture.ts';
import { createApp } from './handler.ts';
import { createHost } from './host.ts';
import { createServices } from './index.ts';
import type { ServerOptions } from './options.ts';
import type { Answer, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SECRET = 'a secret of a test that is longer than 32 bytes';
let server: TestServer;
/** Tenant whose operator suspended it, with a key from before. */
let suspended: { key: string; user: string };
beforeAll(async () => {
  server = await testServer('authorisation', { keys: createKeyRing({ current: Buffer.alloc(32, 7).toString('base64') }), auth: { jwt: { secret: SECRET } } });
  const made = await server.call('/api/v1/tenants', { method: 'POST', key: server.operator, body: { slug: 'suspended', name: 'Suspended' } });
  const { id } = made.body as { id: string };
  suspended = { key: (await server.makeKey(id, ['*'])).secret, user: await token({ tenant_id: id, roles: ['owner'] }) };
  await server.call(`/api/v1/tenants/${id}`, { method: 'PATCH', key: server.operator, body: { status: 'suspended' } });
});
afterAll(() => server.close());

const token = (claims: Record<string, unknown>): Promise<string> =>
  new SignJWT({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 600, ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET));

const call = (row: Row, key: string | undefined, headers: Record<string, string> = {}): Promise<Answer> => {
  const bodied = !['GET', 'HEAD', 'DELETE'].includes(row.method);
  return server.call(addressOf(row), { method: row.method, key, headers, ...(bodied ? { body: {} } : {}) });
};
const codeOf = ({ body, status }: Answer): unknown => (body as { code?: string } | undefined)?.code ?? status;
const ofKind = (...kinds: Row['kind'][]): Row[] => ROWS.filter(({ kind }) => kinds.includes(kind));
/** Asks all of these and answers with what was answered, by code: one line each where something is wrong. */
const codes = async (rows: readonly Row[], ask: (row: Row) => Promise<Answer>): Promise<Record<string, unknown>> => {
  const told: Record<string, unknown> = {};
  for (const row of rows) told[rowText(row)] = codeOf(await ask(row));
  return told;
};
const all = (rows: readonly Row[], code: (row: Row) => unknown): Record<string, unknown> => Object.fromEntries(rows.map((row) => [rowText(row), code(row)]));
const REFUSALS =
  /^(access_.*|kernel_(unauthenticated|forbidden|operator_required|tenant_required|reason_required)|webhooks_portal_(confined|link_.*|session_missing))$/;
/** Those that were refused for who asked, which none of these may be. */
const refused = async (rows: readonly Row[], ask: (row: Row) => Promise<Answer>): Promise<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(await codes(rows, ask)).filter(([, code]) => REFUSALS.test(String(code)) && !/_not_found$|_tenant_unknown$/.test(String(code))),
  );

const bareHost = () => createHost({ plinth: server.database.plinth, services: createServices() } as unknown as ServerOptions);
const closed = (): Row[] => ofKind('any', 'tenant', 'operator', 'portal');
const OTHERS = [...new Set(ROWS.flatMap(({ permission }) => permission ?? []))];
const reason = { 'x-plinth-reason': 'test' };

test('the table is the server: every address, and the permission that it asks for', () => {
  const host = bareHost();
  const procedures = host.router._def.procedures as Record<string, { _def: { meta?: CallMeta } }>;
  const fromProcedures = Object.values(procedures).flatMap(({ _def: { meta } }) =>
    meta?.openapi ? [`${meta.openapi.method} /api/v1${meta.openapi.path} ${meta.operator ? 'operator' : 'tenant'} ${meta.permission ?? ''}`.trim()] : [],
  );
  const expected = ROWS.filter(({ mount }) => mount === undefined).map(({ method, path, kind, permission, itself }) =>
    `${method} ${path} ${kind === 'operator' ? kind : 'tenant'} ${itself ? '' : (permission ?? '')}`.trim(),
  );
  expect(fromProcedures.sort()).toEqual(expected.sort());
  // A route for every method refuses those that another one does not take, unless it ends in a star.
  const mounted = createApp(host).routes.flatMap(({ method, path }) => (method !== 'ALL' || path.endsWith('*') ? [`${method} ${path}`] : []));
  expect([...new Set(mounted)].sort()).toEqual([...new Set([...MOUNTS, ...ROWS.flatMap(({ mount }) => mount ?? [])])].sort());
});

describe('who is nobody is told so, wherever', () => {
  test('without a credential', async () => {
    expect(await codes(closed(), (row) => call(row, undefined))).toEqual(all(closed(), () => 'kernel_unauthenticated'));
  });

  test.each([
    ['an unknown key', () => newSecret('tenant'), 'access_key_unknown'],
    ['a link that signs in to the console', () => newSecret('login'), 'access_key_unknown'],
    ['no key at all', () => 'plk_tenant_x', 'access_key_unknown'],
    [
      'an unsigned token',
      () => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"x"}').toString('base64url')}.`,
      'access_token_invalid',
    ],
    ['a key of a suspended tenant', () => suspended.key, 'access_tenant_suspended'],
    ['a token of a suspended tenant', () => suspended.user, 'access_tenant_suspended'],
  ])('%s', async (_what, key, code) => {
    const rows = closed();
    expect(await codes(rows, (row) => call(row, key()))).toEqual(all(rows, () => code));
  });

  test('an expired, a revoked and a rotated key', async () => {
    const make = async () => server.makeKey(server.database.tenantA, ['*']);
    const [expired, revoked, rotated] = [await make(), await make(), await make()];
    await server.database.admin.query(`update plinth_access.api_keys set expires_at = now() where id = $1`, [expired.id]);
    await server.call(`/api/v1/keys/${revoked.id}`, { method: 'DELETE', key: server.keyA });
    await server.call(`/api/v1/keys/${rotated.id}/rotate`, { method: 'POST', key: server.keyA, body: { overlap_seconds: 0 } });
    const rows = closed();
    for (const [key, code] of [
      [expired, 'access_key_expired'],
      [revoked, 'access_key_revoked'],
      [rotated, 'access_key_expired'],
    ] as const)
      expect(await codes(rows, (row) => call(row, key.secret))).toEqual(all(rows, () => code));
  });
});

describe('a key', () => {
  const rows = ofKind('tenant', 'portal');

  test('with every permission but one is refused where that one is asked for', async () => {
    const asking = rows.filter(({ permission }) => permission !== undefined);
    const keys = new Map<string, string>();
    for (const { permission = '' } of asking)
      if (!keys.has(permission))
        keys.set(
          permission,
          (
            await server.makeKey(
              server.database.tenantA,
              OTHERS.filter((one) => one !== permission),
            )
          ).secret,
        );
    expect(await codes(asking, (row) => call(row, keys.get(row.permission ?? '')))).toEqual(all(asking, () => 'kernel_forbidden'));
  });

  test('with that one alone is let through', async () => {
    const keys = new Map<string, string>();
    for (const { permission } of rows)
      if (permission && !keys.has(permission)) keys.set(permission, (await server.makeKey(server.database.tenantA, [permission])).secret);
    expect(await refused(rows, (row) => call(row, keys.get(row.permission ?? '') ?? server.keyA))).toEqual({});
  });

  test('of a tenant does nothing of operators, and enters no other tenant', async () => {
    const operators = ofKind('operator');
    expect(operators.length).toBeGreaterThan(20);
    expect(await codes(operators, (row) => call(row, server.keyA))).toEqual(all(operators, () => 'kernel_operator_required'));
    const elsewhere = closed();
    const other = { 'x-plinth-tenant': server.database.tenantB };
    expect(await codes(elsewhere, (row) => call(row, server.keyA, other))).toEqual(all(elsewhere, () => 'kernel_forbidden'));
  });
});

describe('an operator', () => {
  test('enters a tenant with a reason only, and works on none without naming it', async () => {
    const records = ofKind('tenant', 'portal').filter(({ free }) => !free);
    const inA = { 'x-plinth-tenant': server.database.tenantA };
    expect(await codes(records, (row) => call(row, server.operator, inA))).toEqual(all(records, () => 'kernel_reason_required'));
    const needing = records.filter(({ across }) => !across);
    expect(await codes(needing, (row) => call(row, server.operator, reason))).toEqual(all(needing, () => 'kernel_tenant_required'));
  });

  test('has the permissions of the key, and is refused what it lacks', async () => {
    const rows = ofKind('operator');
    const make = async (scopes: readonly string[]): Promise<string> =>
      ((await server.call('/api/v1/operators/keys', { method: 'POST', key: server.operator, body: { name: 'test', scopes } })).body as { secret: string })
        .secret;
    for (const permission of new Set(rows.map((row) => row.permission ?? ''))) {
      const [without, alone] = [await make(OTHERS.filter((one) => one !== permission)), await make([permission])];
      const mine = rows.filter((row) => row.permission === permission);
      expect(await codes(mine, (row) => call(row, without))).toEqual(all(mine, () => 'kernel_forbidden'));
      expect(await refused(mine, (row) => call(row, alone))).toEqual({});
    }
  });
});

describe('a member', () => {
  test.each([
    ['viewer', /\.read$/],
    ['support', /\.(read|retry)$/],
    ['member', /\.(read|retry|write)$/],
    ['admin', /\.(read|retry|write|admin)$/],
    ['owner', /./],
    ['nobody-knows', /^$/],
  ])('who is %s may what the role says', async (role, may) => {
    const key = await token({ tenant_id: server.database.tenantA, roles: [role] });
    const rows = ofKind('tenant', 'portal').filter(({ permission }) => permission !== undefined);
    const [those, others] = [rows.filter((row) => may.test(row.permission ?? '')), rows.filter((row) => !may.test(row.permission ?? ''))];
    expect(await refused(those, (row) => call(row, key))).toEqual({});
    expect(await codes(others, (row) => call(row, key))).toEqual(all(others, () => 'kernel_forbidden'));
    const operators = ofKind('operator');
    expect(await codes(operators, (row) => call(row, key))).toEqual(all(operators, () => 'kernel_operator_required'));
  });
});

describe('a link into the portal', () => {
  test.each(['read', 'manage'] as const)('to %s opens its calls and no other', async (capabilities) => {
    const made = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: { capabilities } });
    const { token: link } = made.body as { token: string };
    const others = ofKind('any', 'tenant', 'operator');
    expect(await codes(others, (row) => call(row, link))).toEqual(all(others, () => 'webhooks_portal_confined'));
    const [session] = ofKind('link') as [Row];
    for (const other of [undefined, server.keyA]) expect(codeOf(await call(session, other))).toBe('webhooks_portal_session_missing');
    const [mine, more] = [ofKind('portal').filter(({ permission }) => permission !== 'webhooks.portal.write' || capabilities === 'manage'), ofKind('portal')];
    expect(await refused(mine, (row) => call(row, link))).toEqual({});
    expect(codeOf(await call(session, link))).toBe(200);
    const rest = more.filter((row) => !mine.includes(row));
    expect(await codes(rest, (row) => call(row, link))).toEqual(all(rest, () => 'kernel_forbidden'));
  });
});

test('a console session counts from its own site only, wherever', async () => {
  const opened = await server.call('/api/v1/console/login', { method: 'POST', body: { key: server.keyA }, headers: { origin: 'http://plinth.test' } });
  const cookie = opened.headers.get('set-cookie')?.split(';')[0] ?? '';
  const rows = closed();
  const elsewhere: Record<string, string>[] = [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { origin: 'null' },
  ];
  for (const from of elsewhere) expect(await codes(rows, (row) => call(row, undefined, { cookie, ...from }))).toEqual(all(rows, () => 'access_cross_site'));
  const changing = rows.filter(({ method }) => !['GET', 'HEAD'].includes(method));
  expect(await codes(changing, (row) => call(row, undefined, { cookie }))).toEqual(all(changing, () => 'access_cross_site'));
});

test('tRPC asks for the same as REST', async () => {
  const host = bareHost();
  const nothing = (await server.makeKey(server.database.tenantA, ['tenants.read'])).secret;
  const procedures = Object.entries(host.router._def.procedures as Record<string, { _def: { type: string; meta?: CallMeta } }>);
  expect(procedures.length).toBeGreaterThan(150);
  const told: Record<string, unknown> = {};
  for (const [path, { _def }] of procedures) {
    const ask = (key?: string) => server.call(`/api/trpc/${path}`, { key, ...(_def.type === 'query' ? {} : { method: 'POST', body: {} }) });
    const codeIn = ({ body }: Answer) => (body as { error?: { data?: { problem?: { code?: string } } } }).error?.data?.problem?.code;
    const [anonymous, poor] = [codeIn(await ask()), codeIn(await ask(nothing))];
    const expected = _def.meta?.operator ? 'kernel_operator_required' : _def.meta?.permission ? 'kernel_forbidden' : poor;
    if (anonymous !== 'kernel_unauthenticated' || poor !== expected) told[path] = [anonymous, poor];
  }
  expect(told).toEqual({});
});

test('what anybody may ask takes no credential, and tells nothing of a tenant', async () => {
  const open = ofKind('public');
  const told = await codes(open, (row) => call(row, undefined));
  expect(Object.entries(told).filter(([, code]) => code === 'kernel_unauthenticated' || code === 'kernel_internal')).toEqual([]);
  for (const row of open) {
    const { text } = await call(row, undefined);
    expect(text.includes(server.database.tenantA), rowText(row)).toBe(false);
  }
});
