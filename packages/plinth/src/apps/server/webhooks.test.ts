/** What providers and receivers call without a credential of ours: inbound sources and the JWK set. */
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keysOfJwks, signAs, signMessage, verifyMessage } from '#modules/webhooks';
import type { Answer, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('server_webhooks');
});
afterAll(() => server.close());

const nowSeconds = (): number => Math.floor(server.database.plinth.clock.now() / 1000);
const code = (answer: Answer): unknown => (answer.body as { code?: string } | undefined)?.code;
const SECRET = 'a secret that both know';
let count = 0;

async function source(profile: string, more: Record<string, unknown> = {}, key = server.keyA): Promise<{ id: string; secret: string; name: string }> {
  const name = `${profile}-${count++}`;
  const made = await server.call('/api/v1/webhooks/sources', { method: 'POST', key, body: { name, profile, secret: SECRET, ...more } });
  expect(made.status, made.text).toBe(200);
  return { ...(made.body as { id: string; secret: string }), name };
}
const send = (id: string, body: string, headers: Record<string, string>): Promise<Answer> =>
  server.call(`/api/v1/webhooks/inbound/${id}`, { method: 'POST', body, headers });
const events = async (tenantId: string, prefix: string) =>
  (
    await server.database.admin.query<{ type: string; payload: Record<string, unknown>; metadata: Record<string, unknown>; actor_id: string }>(
      `select type, payload, metadata, actor_id from plinth_events.events where tenant_id = $1 and type like $2 order by id`,
      [tenantId, `${prefix}.%`],
    )
  ).rows;

test.each(['http://10.0.0.1/hook', 'https://169.254.169.254/latest/meta-data', 'http://example.com/'])(
  'a server that was told nothing of the way out refuses to subscribe %s, which no worker would call',
  async (url) => {
    const refused = await server.call('/api/v1/webhooks/subscriptions', {
      method: 'POST',
      key: server.keyA,
      body: { name: 'inside', url, patterns: ['order.*'] },
    });
    expect(refused).toMatchObject({ status: 422, body: { code: 'webhooks_url_refused' } });
    const { rows } = await server.database.admin.query('select from plinth_webhooks.subscriptions where url = $1', [url]);
    expect(rows).toEqual([]);
  },
);

describe('an inbound source', () => {
  const message = (body: string, id = `m-${count++}`) => ({ id, type: 'issues', timestampSeconds: nowSeconds(), body });

  test.each(['stripe', 'slack', 'github'] as const)(
    'of the profile %s takes a message once, publishes it, and answers a repetition with 200',
    async (profile) => {
      const { id, name } = await source(profile);
      const bodies = {
        stripe: '{"id":"evt_1","type":"invoice.paid","n":1}',
        slack: '{"event_id":"Ev1","event":{"type":"app_mention"}}',
        github: '{"action":"opened","n":1}',
      };
      const types = { stripe: 'invoice.paid', slack: 'app_mention', github: 'issues.opened' };
      const body = bodies[profile];
      const headers = signAs(profile, [SECRET], message(body));
      const first = await send(id, body, headers);
      expect(first.status, first.text).toBe(202);
      expect(first.body).toMatchObject({ duplicate: false, event_id: expect.any(String) });
      const again = await send(id, body, headers);
      expect([again.status, again.body]).toEqual([200, { id: (first.body as { id: string }).id, duplicate: true, event_id: null }]);
      const published = await events(server.database.tenantA, name);
      expect(published).toEqual([
        {
          type: `${name}.${types[profile]}`,
          payload: JSON.parse(body),
          metadata: { inbound_source: name, message_id: (first.body as { id: string }).id },
          actor_id: `webhook:${name}`,
        },
      ]);
      expect(await events(server.database.tenantB, name)).toEqual([]);
    },
  );

  test('of the profile standard takes v1 by secret and v1a by public key', async () => {
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    const { id, name } = await source('standard', { secret });
    const body = '{"type":"user.created","data":{}}';
    expect((await send(id, body, signMessage([secret], message(body, 'one')))).status).toBe(202);
    expect((await send(id, body, signMessage([secret], message(body, 'one')))).status).toBe(200);
    expect(await events(server.database.tenantA, name)).toHaveLength(1);
    const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
    const base64 = (text: string) => Buffer.from(text, 'base64url').toString('base64');
    const byKey = await source('standard', { secret: `whpk_${base64(x)}` });
    expect((await send(byKey.id, body, signMessage([`whsk_${base64(d)}`], message(body, 'two')))).status).toBe(202);
    expect((await send(byKey.id, body, signMessage([secret], message(body, 'three')))).status).toBe(401);
    const wrong = await server.call('/api/v1/webhooks/sources', { method: 'POST', key: server.keyA, body: { name: 'x', profile: 'standard', secret: SECRET } });
    expect(code(wrong)).toBe('webhooks_secret_invalid');
  });

  test('of the profile generic finds signature and id where its options say; a body that is no JSON is kept as text', async () => {
    const { id, name } = await source('generic', { options: { header: 'X-Sign', encoding: 'base64', prefix: 'v=', id_header: 'X-Id' } });
    const sign = (body: string) => `v=${createHmac('sha256', SECRET).update(body).digest('base64')}`;
    expect((await send(id, 'a=1&b=2', { 'x-sign': sign('a=1&b=2'), 'x-id': '7', 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(202);
    expect((await send(id, 'a=1&b=2', { 'x-sign': sign('a=1&b=2'), 'x-id': '7' })).status).toBe(200);
    expect(await events(server.database.tenantA, name)).toMatchObject([{ type: `${name}.received`, payload: { text: 'a=1&b=2' } }]);
    const nul = '{"text":"a\\u0000b"}';
    expect((await send(id, nul, { 'x-sign': sign(nul), 'x-id': '8' })).status).toBe(400);
    const wrong = await server.call('/api/v1/webhooks/sources', { method: 'POST', key: server.keyA, body: { name: 'y', profile: 'generic', secret: SECRET } });
    expect(code(wrong)).toBe('webhooks_source_invalid');
    // What comes in would be called events.subject_erased, should its sender want that.
    for (const own of ['events', 'webhooks']) {
      const body = { name: own, profile: 'github', secret: SECRET };
      expect(code(await server.call('/api/v1/webhooks/sources', { method: 'POST', key: server.keyA, body }))).toBe('webhooks_source_invalid');
    }
  });

  test('answers 401 to what is forged, old or unsigned, 404 and 409 before it reads a body, 413 to what is too long, and notes none of it', async () => {
    const { id, name } = await source('stripe');
    const body = '{"id":"evt_9"}';
    const headers = signAs('stripe', [SECRET], message(body));
    expect(code(await send(id, `${body} `, headers))).toBe('webhooks_signature_invalid');
    expect(code(await send(id, body, {}))).toBe('webhooks_headers_missing');
    expect(code(await send(id, body, signAs('stripe', ['another secret of 16'], message(body))))).toBe('webhooks_signature_invalid');
    const old = await send(id, body, signAs('stripe', [SECRET], { ...message(body), timestampSeconds: nowSeconds() - 3600 }));
    expect([old.status, code(old)]).toEqual([401, 'webhooks_timestamp_out_of_tolerance']);
    const unknown = await send(server.database.plinth.newId(), body, headers);
    expect([unknown.status, code(unknown)]).toEqual([404, 'webhooks_source_not_found']);
    expect((await send('nonsense', body, headers)).status).toBe(404);
    expect((await send(id, 'x'.repeat(1_100_000), headers)).status).toBe(413);
    expect((await server.call(`/api/v1/webhooks/inbound/${id}`)).status).toBe(405);
    await server.call(`/api/v1/webhooks/sources/${id}/disable`, { method: 'POST', key: server.keyA, body: {} });
    const disabled = await send(id, body, headers);
    expect([disabled.status, code(disabled)]).toEqual([409, 'webhooks_source_disabled']);
    expect(await events(server.database.tenantA, name)).toEqual([]);
    await server.call(`/api/v1/webhooks/sources/${id}/enable`, { method: 'POST', key: server.keyA, body: {} });
    expect((await send(id, body, headers)).status).toBe(202);
  });

  test('of a tenant that is suspended takes nothing, and so long', async () => {
    const { tenantB } = server.database;
    const { id, name } = await source('github', {}, server.keyB);
    const body = '{"action":"opened"}';
    const status = (to: string) => server.call(`/api/v1/tenants/${tenantB}`, { method: 'PATCH', key: server.operator, body: { status: to } });
    expect((await status('suspended')).status).toBe(200);
    const refused = await send(id, body, signAs('github', [SECRET], message(body)));
    expect([refused.status, code(refused)]).toEqual([409, 'webhooks_source_disabled']);
    expect(await events(tenantB, name)).toEqual([]);
    await status('active');
    expect((await send(id, body, signAs('github', [SECRET], message(body)))).status).toBe(202);
    expect(await events(tenantB, name)).toHaveLength(1);
    await server.call(`/api/v1/webhooks/sources/${id}`, { method: 'DELETE', key: server.keyB });
  });

  test("answers Slack's question whether the address is ours, if it is signed", async () => {
    const { id } = await source('slack');
    const body = '{"type":"url_verification","challenge":"3eZbrw1a"}';
    expect((await send(id, body, signAs('slack', [SECRET], message(body)))).text).toBe('3eZbrw1a');
    expect((await send(id, body, signAs('slack', ['another secret of 16'], message(body)))).status).toBe(401);
  });

  test('accepts the old secret for the overlap of a rotation, belongs to its tenant, and shows no secret', async () => {
    const { id } = await source('github');
    const body = '{}';
    const path = `/api/v1/webhooks/sources/${id}`;
    const rotated = await server.call(`${path}/rotate-secret`, { method: 'POST', key: server.keyA, body: { secret: 'the next secret' } });
    expect(rotated.body).toEqual({ secret: 'the next secret' });
    for (const secret of [SECRET, 'the next secret']) expect((await send(id, body, signAs('github', [secret], message(body)))).status).toBe(202);
    await server.call(`${path}/rotate-secret`, { method: 'POST', key: server.keyA, body: { secret: 'the third secret', overlap_seconds: 0 } });
    for (const secret of [SECRET, 'the next secret'])
      expect((await send(id, body, signAs('github', [secret], message(body)))).status, 'no overlap is for none of those before').toBe(401);
    const shown = await server.call(path, { key: server.keyA });
    expect(shown.status).toBe(200);
    const listed = await server.call('/api/v1/webhooks/sources', { key: server.keyA });
    expect(shown.text + listed.text).not.toContain('secret');
    for (const call of [
      server.call(path, { key: server.keyB }),
      server.call(path, { method: 'DELETE', key: server.keyB }),
      server.call(`${path}/rotate-secret`, { method: 'POST', key: server.keyB, body: {} }),
      server.call(`${path}/disable`, { method: 'POST', key: server.keyB, body: {} }),
    ])
      expect(code(await call)).toBe('webhooks_source_not_found');
    expect((await server.call('/api/v1/webhooks/sources', { key: server.keyB })).body).toEqual([]);
    const taken = await server.call('/api/v1/webhooks/sources', { method: 'POST', key: server.keyA, body: { name: 'github-x', profile: 'github' } });
    expect((taken.body as { secret: string }).secret).toMatch(/^whsec_/);
    expect(code(await server.call('/api/v1/webhooks/sources', { method: 'POST', key: server.keyA, body: { name: 'github-x', profile: 'github' } }))).toBe(
      'webhooks_source_taken',
    );
    expect((await server.call(path, { method: 'DELETE', key: server.keyA })).status).toBe(200);
    expect((await send(id, body, signAs('github', ['the third secret'], message(body)))).status).toBe(404);
  });
});

describe('the JWK set', () => {
  test('shows the public keys of a tenant or a subscription to everybody, as soon as SQL made them, and verifies what the private ones sign', async () => {
    const { plinth, tenantA, tenantB, admin } = server.database;
    const subscribe = (tenantId: string, name: string) =>
      plinth.transaction({ tenantId }, (tx) =>
        tx.query<{ id: string; secret: string | null }>(
          `select subscription_id as id, secret from plinth.subscribe($1, '{#}', 'https://example.com/', p_signing => 'v1a')`,
          [name],
        ),
      );
    const [one] = await subscribe(tenantA, 'one');
    await subscribe(tenantA, 'two');
    await subscribe(tenantB, 'of B');
    expect(one?.secret).toBeNull();
    const set = await server.call(`/api/v1/webhooks/jwks/${tenantA}`);
    expect([set.status, set.headers.get('content-type'), set.headers.get('cache-control')]).toEqual([200, 'application/jwk-set+json', 'public, max-age=300']);
    const { keys } = set.body as { keys: { kid: string }[] };
    expect(keys).toHaveLength(2);
    expect(keys[0]).toEqual({
      kty: 'OKP',
      crv: 'Ed25519',
      x: expect.stringMatching(/^[\w-]{43}$/),
      kid: expect.stringMatching(/^[\w-]{43}$/),
      alg: 'EdDSA',
      use: 'sig',
    });
    const own = (await server.call(`/api/v1/webhooks/jwks/${tenantA}/${one?.id}`)).body as { keys: [] };
    expect(own.keys).toHaveLength(1);
    const [{ secrets } = { secrets: [] }] = (
      await admin.query<{ secrets: string[] }>(`select plinth_webhooks.valid_secrets($1, $2, 'v1a') as secrets`, [tenantA, one?.id])
    ).rows;
    const headers = signMessage(secrets, { id: 'm', timestampSeconds: nowSeconds(), body: 'x' });
    const now = new Date(plinth.clock.now());
    expect(verifyMessage({ secrets: keysOfJwks(own), headers, body: 'x', now }).id).toBe('m');
    const others = (await server.call(`/api/v1/webhooks/jwks/${tenantB}`)).body as { keys: [] };
    expect(() => verifyMessage({ secrets: keysOfJwks(others), headers, body: 'x', now })).toThrow('No signature matches');
    expect((await server.call(`/api/v1/webhooks/jwks/${plinth.newId()}`)).body).toEqual({ keys: [] });
    expect((await server.call('/api/v1/webhooks/jwks/nonsense')).status).toBe(404);
    const shown = (await server.call(`/api/v1/webhooks/subscriptions/${one?.id}`, { key: server.keyA })).body as { public_keys: string[] };
    expect(shown.public_keys).toEqual(keysOfJwks(own));
  });
});
