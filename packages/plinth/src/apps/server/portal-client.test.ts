/** The client of the portal's components against a real server, with a token as a page of another origin has it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import type { Endpoint, Session } from '../../react/portal/client.ts';
import { createPortalClient, PortalProblem, problemOf } from '../../react/portal/client.ts';
import type { Serving } from './index.ts';
import { serve } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
let serving: Serving;
let token: string;
beforeAll(async () => {
  server = await testServer('portal_client', { keys: createKeyRing({ current: Buffer.alloc(32, 3).toString('base64') }) });
  serving = await serve({ fetch: server.handler, port: 0 });
  const made = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: { locale: 'fr' } });
  token = (made.body as { token: string }).token;
  const type = await server.call('/api/v1/event-types/order.paid', { method: 'PUT', key: server.keyA, body: { visibility: 'public', mode: 'off' } });
  expect(type.status, type.text).toBe(200);
});
afterAll(async () => {
  await serving.close();
  await server.close();
});

test('a token opens its own session, changes and reads endpoints', async () => {
  const client = createPortalClient({ baseUrl: `${serving.origin}/`, token });
  expect(await client.get<Session>('/session')).toMatchObject({ tenant_id: server.database.tenantA, locale: 'fr', capabilities: 'manage' });
  const body = { name: 'mine', url: 'https://example.com/h', event_types: ['order.paid'] };
  const { id } = await client.send<{ id: string }>('POST', '/endpoints', body);
  expect(await client.send('PATCH', `/endpoints/${id}`, { name: 'ours' })).toMatchObject({ id, name: 'ours' });
  expect(await client.get<{ endpoints: Endpoint[] }>('/endpoints')).toMatchObject({ endpoints: [{ id, name: 'ours' }], next_cursor: null });
  expect(await client.send('DELETE', `/endpoints/${id}`)).toEqual({ id });
});

test('a failure is a sentence with a way out', async () => {
  const client = createPortalClient({ baseUrl: serving.origin, token });
  const missing = await client.get(`/endpoints/${crypto.randomUUID()}`).catch(problemOf);
  expect(missing).toBeInstanceOf(PortalProblem);
  expect(missing).toMatchObject({ status: 404, code: 'webhooks_subscription_not_found', wayOut: expect.stringMatching(/./) });
  const stranger = createPortalClient({ baseUrl: serving.origin, session: crypto.randomUUID() });
  expect(await stranger.get('/session').catch(problemOf)).toMatchObject({ status: 401, code: 'webhooks_portal_session_missing' });
  const nowhere = createPortalClient({ baseUrl: 'http://127.0.0.1:9', token });
  expect(await nowhere.get('/session').catch(problemOf)).toMatchObject({ status: 0, code: 'unreachable' });
});

test('a token that has expired is asked for once more, however many calls meet its end, and what changes something is done once', async () => {
  const link = async (): Promise<string> => {
    const made = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: {} });
    return (made.body as { token: string }).token;
  };
  const [first = '', second = ''] = [await link(), await link()];
  const given = [`${first.slice(0, -3)}AAA`, second];
  let asked = 0;
  let renewed = 0;
  const client = createPortalClient({ baseUrl: serving.origin, token: async () => given[asked++] ?? '', onRenewed: () => (renewed += 1) });
  const body = { name: 'renewed', url: 'https://example.com/h', event_types: ['order.paid'] };
  const [session, made] = await Promise.all([client.get<Session>('/session'), client.send<{ id: string }>('POST', '/endpoints', body)]);
  expect([session.tenant_id, asked, renewed > 0]).toEqual([server.database.tenantA, 2, true]);
  const { endpoints } = await client.get<{ endpoints: Endpoint[] }>('/endpoints');
  expect(endpoints.filter(({ name }) => name === 'renewed').map(({ id }) => id)).toEqual([made.id]);
  // Whoever gives tokens has no other one: the failure is told, and nobody asks without end.
  const spent = createPortalClient({ baseUrl: serving.origin, token: () => given[0] ?? '' });
  expect(await spent.get('/session').catch(problemOf)).toMatchObject({ status: 401 });
  // It fails, as a back end that is away does, and gives one later.
  let away = true;
  const late = createPortalClient({ baseUrl: serving.origin, token: () => (away ? Promise.reject(new TypeError('fetch failed')) : second) });
  expect(await late.get('/session').catch(problemOf)).toMatchObject({ code: 'unreachable' });
  away = false;
  expect(await late.get<Session>('/session')).toMatchObject({ tenant_id: server.database.tenantA });
});
