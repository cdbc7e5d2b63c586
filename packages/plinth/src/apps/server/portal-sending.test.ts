/** What an endpoint of the portal sends and keeps back when a customer changes it, and what the portal says about it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Answer, CallOptions, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const PORTAL = '/api/v1/webhooks/portal';
let server: TestServer;
beforeAll(async () => {
  server = await testServer('portal_sending', { keys: createKeyRing({ current: Buffer.alloc(32, 7).toString('base64') }) });
  for (const [name, visibility] of Object.entries({ 'order.paid': 'public', 'order.audited': 'internal' })) {
    const put = await server.call(`/api/v1/event-types/${name}`, {
      method: 'PUT',
      key: server.keyA,
      body: { schema: { type: 'object' }, example: { of: name }, visibility },
    });
    expect(put.status, put.text).toBe(200);
  }
});
afterAll(() => server.close());

async function link(): Promise<{ id: string; token: string }> {
  const answer = await server.call('/api/v1/webhooks/portal-links', { method: 'POST', key: server.keyA, body: {} });
  expect(answer.status, answer.text).toBe(200);
  return answer.body as { id: string; token: string };
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
async function fanOutAll(): Promise<void> {
  const { plinth } = server.database;
  const consumer = (plinth.modules as ModuleMap).webhooks?.consumers?.['fan-out'];
  if (!consumer) throw new Error('no fan-out');
  while ((await consumeOnce(plinth, 'webhooks.fan-out', consumer)) > 0);
}

/** An endpoint that the back end made, and what waits for it. */
async function backEndEndpoint(patterns: string[], types: string[], policy: Record<string, unknown> = {}): Promise<string> {
  made += 1;
  const body = { name: `of the back end ${made}`, url: 'https://example.com/mistyped', patterns };
  const { id } = (await server.call('/api/v1/webhooks/subscriptions', { method: 'POST', key: server.keyA, body })).body as { id: string };
  if (Object.keys(policy).length > 0)
    expect((await server.call(`/api/v1/webhooks/subscriptions/${id}/policy`, { method: 'PATCH', key: server.keyA, body: policy })).status).toBe(200);
  await fanOutAll();
  const { tenantA, plinth } = server.database;
  for (const type of types) await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query('select plinth.publish_event($1)', [type]));
  await fanOutAll();
  return id;
}

interface Delivery {
  id: string;
  event_type: string;
  status: string;
  last_error: string | null;
}
const deliveriesOf = async (subscription: string): Promise<Delivery[]> =>
  (
    await server.database.admin.query<Delivery>(
      'select id, event_type, status, last_error from plinth.event_deliveries where subscription_id = $1 order by event_type',
      [subscription],
    )
  ).rows;

describe('an endpoint that is sent elsewhere', () => {
  const WITHHELD = expect.stringContaining('not public');

  test('keeps what waits of public types, and loses nothing of the others: they are counted before and after, and the operator can send them', async () => {
    const { token, id: linkId } = await link();
    const id = await backEndEndpoint(['#'], ['order.paid', 'order.audited', 'nothing.known']);
    expect((await ask(token, `/endpoints/${id}`)).body).toMatchObject({
      public_only: false,
      waiting: 3,
      waiting_internal: 2,
      next_attempt_at: expect.any(String),
    });
    const changed = await ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { url: 'https://example.com/right' } });
    expect(changed.body).toMatchObject({ public_only: true, withheld: 2, secret: null, waiting: 1, waiting_internal: 0 });
    const left = await deliveriesOf(id);
    expect(left).toMatchObject([
      { event_type: 'nothing.known', status: 'failed', last_error: WITHHELD },
      { event_type: 'order.audited', status: 'failed', last_error: WITHHELD },
      { event_type: 'order.paid', status: 'pending', last_error: null },
    ]);
    const { rows } = await server.database.admin.query(
      `select metadata ->> 'withheld' as withheld, actor_id from plinth.audit_logs where action = 'webhooks.subscription_updated' and entity_id = $1`,
      [id],
    );
    expect(rows).toEqual([{ withheld: '2', actor_id: linkId }]);

    // The customer gets at them neither by a replay nor one by one.
    expect((await post(token, `/endpoints/${id}/replays/preview`, { only_failed: true })).body).toEqual({ total: 0 });
    const { rows: tried } = await server.database.admin.query<{ id: string }>(
      `insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, url)
       select tenant_id, id, subscription_id, event_id, event_type, 1, 'failed', 'https://example.com/mistyped' from plinth_webhooks.deliveries where id = $1 returning id`,
      [left[0]?.id],
    );
    const refused = await post(token, `/attempts/${tried[0]?.id}/resend`);
    expect([refused.status, code(refused)]).toEqual([409, 'webhooks_delivery_not_repeatable']);
    expect(refused.text).not.toContain('p_public_only');

    const resend = (): Promise<Answer> => server.call(`/api/v1/webhooks/deliveries/${left[0]?.id}/resend`, { method: 'POST', key: server.keyA, body: {} });
    expect(code(await resend())).toBe('webhooks_delivery_not_repeatable');
    const opened = await server.call(`/api/v1/webhooks/subscriptions/${id}`, { method: 'PATCH', key: server.keyA, body: { public_only: false } });
    expect(opened.body).toMatchObject({ public_only: false, withheld: 0 });
    expect((await resend()).status).toBe(200);
    expect((await post(token, `/endpoints/${id}/replays/preview`, { only_failed: true })).body).toEqual({ total: 1 });
  });

  test('goes on in its order behind what was withheld, and an attempt that was under way brings nothing back', async () => {
    const { token } = await link();
    const { admin } = server.database;
    const id = await backEndEndpoint(['#'], ['order.audited', 'order.paid'], { ordering: 'fifo' });
    const { rows: claimed } = await admin.query<{
      tenant_id: string;
      id: string;
      subscription_id: string;
      lease_id: string;
      lane_key: string;
      event_type: string;
    }>('select * from plinth_webhooks.claim(1000) where subscription_id = $1', [id]);
    expect(claimed).toMatchObject([{ event_type: 'order.audited' }]);
    expect((await ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { url: 'https://example.com/right' } })).body).toMatchObject({ withheld: 1 });
    await admin.query('select plinth_webhooks.settle($1)', [
      JSON.stringify([{ ...claimed[0], outcome: 'failed', response_code: 404, url: 'https://example.com/mistyped' }]),
    ]);
    expect(await deliveriesOf(id)).toMatchObject([
      { event_type: 'order.audited', status: 'failed', last_error: WITHHELD },
      { event_type: 'order.paid', status: 'pending' },
    ]);
    const { rows: next } = await admin.query('select event_type, url from plinth_webhooks.claim(1000) where subscription_id = $1', [id]);
    expect(next).toEqual([{ event_type: 'order.paid', url: 'https://example.com/right' }]);
  });
});

describe('what the portal says of sending', () => {
  const lane = (id: string, set: string) => server.database.admin.query(`update plinth_webhooks.lanes set ${set} where subscription_id = $1`, [id]);
  const claim = async (id: string): Promise<string[]> =>
    (await server.database.admin.query<{ event_type: string }>('select event_type from plinth_webhooks.claim(1000) where subscription_id = $1', [id])).rows.map(
      (row) => row.event_type,
    );

  test.each(['parallel', 'fifo'])('a test event is the next probe of an open breaker, at once and before what waits (%s)', async (ordering) => {
    const { token } = await link();
    const id = await backEndEndpoint(['order.paid'], ['order.paid', 'order.paid'], { ordering });
    await lane(id, `breaker = 'open', next_at = clock_timestamp() + interval '10 minutes'`);
    expect(await claim(id)).toEqual([]);
    const waiting = (await ask(token, `/endpoints/${id}`)).body as { waiting: number; next_attempt_at: string; paused_until: string };
    expect(waiting.waiting).toBe(2);
    expect(waiting.next_attempt_at).toBe(waiting.paused_until);
    expect((await post(token, `/endpoints/${id}/test`)).body).toEqual({ delivery_id: expect.any(String), paused_until: null });
    expect(await claim(id)).toEqual(['webhooks.test']);
  });

  test('a test event keeps the pause that the receiver asked for, and says so', async () => {
    const { token } = await link();
    const { id } = await endpoint(token);
    await lane(id, `next_at = clock_timestamp() + interval '10 minutes'`);
    const { paused_until } = (await post(token, `/endpoints/${id}/test`)).body as { paused_until: string };
    expect((await ask(token, `/endpoints/${id}`)).body).toMatchObject({ waiting: 1, next_attempt_at: paused_until, paused_until });
    await post(token, `/endpoints/${id}/disable`);
    expect((await ask(token, `/endpoints/${id}`)).body).toMatchObject({ waiting: 1, next_attempt_at: null });
  });

  test('an endpoint that fails says when it is disabled at the earliest, and one that does not, or is, says nothing', async () => {
    const { token } = await link();
    const { id } = await endpoint(token);
    const early = async (): Promise<unknown> => ((await ask(token, `/endpoints/${id}`)).body as { disabled_not_before: string | null }).disabled_not_before;
    expect(await early()).toBeNull();
    await post(token, `/endpoints/${id}/test`);
    await lane(id, `failing_since = '2026-01-01T00:00:00Z', failure_count = 1`);
    expect(new Date(String(await early())).toISOString()).toBe('2026-01-06T00:00:00.000Z');
    await post(token, `/endpoints/${id}/disable`);
    expect(await early()).toBeNull();
  });

  test('what would send nothing is refused with the reason: types, an event that is gone, an endpoint that is disabled', async () => {
    const { token } = await link();
    const { id } = await endpoint(token);
    const { tenantA, admin } = server.database;
    const published = await server.call('/api/v1/events', { method: 'POST', key: server.keyA, body: { type: 'order.paid', data: { total: 3 } } });
    const attemptOf = async (event: string): Promise<string> => {
      const { rows } = await admin.query<{ id: string }>(
        `insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, url)
         values ($1, plinth_kernel.uuid_v7(), $2, $3, 'order.paid', 1, 'delivered', 'https://example.com/hooks') returning id`,
        [tenantA, id, event],
      );
      return rows[0]?.id ?? '';
    };
    const kept = await attemptOf((published.body as { id: string }).id);
    const resend = async (attempt: string): Promise<unknown[]> => {
      const answer = await post(token, `/attempts/${attempt}/resend`);
      return [answer.status, code(answer) ?? null, (answer.body as { title?: string }).title ?? null];
    };
    expect(await resend(kept)).toEqual([200, null, null]);
    expect(await resend(await attemptOf('0197f3a0-0000-7000-8000-000000000000'))).toEqual([
      409,
      'webhooks_delivery_not_repeatable',
      'The event is not kept any more',
    ]);
    await admin.query(`update plinth_webhooks.subscriptions set patterns = '{other.type}' where id = $1`, [id]);
    expect(await resend(kept)).toEqual([409, 'webhooks_delivery_not_repeatable', 'The endpoint does not get order.paid any more']);
    expect((await ask(token, `/endpoints/${id}/replays`)).body).toMatchObject({ replays: [{ total: 1 }], next_cursor: null });
    await post(token, `/endpoints/${id}/disable`);
    expect((await resend(kept)).slice(0, 2)).toEqual([409, 'webhooks_subscription_disabled']);
  });

  test('a secret that another way of signing needs is told once, to the customer and to the back end', async () => {
    const { token } = await link();
    const { id, secret: none } = await endpoint(token, { signing: 'v1a' });
    expect(none).toBeNull();
    const headers = { 'idempotency-key': 'sign-by-secret' };
    const change = (): Promise<Answer> => ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { signing: 'v1' }, headers });
    const { secret } = (await change()).body as { secret: string };
    const { rows } = await server.database.admin.query('select secret from plinth_webhooks.secrets where subscription_id = $1', [id]);
    expect(rows).toEqual([{ secret }]);
    expect((await change()).body).toMatchObject({ id, secret: null });
    const back = (body: unknown): Promise<Answer> => server.call(`/api/v1/webhooks/subscriptions/${id}`, { method: 'PATCH', key: server.keyA, body });
    expect((await back({ description: 'same' })).body).toMatchObject({ secret: null });
    expect((await back({ mode: 'pull' })).body).toMatchObject({ secret: null });
    expect((await back({ mode: 'push', url: 'https://example.com/h' })).body).toMatchObject({ secret: expect.stringMatching(/^whsec_/) });
  });

  test('a name that is taken is told without a word of SQL', async () => {
    const { token } = await link();
    await endpoint(token, { name: 'taken' });
    const { id } = await endpoint(token);
    for (const answer of [
      await post(token, '/endpoints', { name: 'taken', url: 'https://example.com/hooks', event_types: ['order.paid'] }),
      await ask(token, `/endpoints/${id}`, { method: 'PATCH', body: { name: 'taken' } }),
    ]) {
      expect([answer.status, code(answer)]).toEqual([409, 'webhooks_name_taken']);
      expect(answer.text).toContain('Another endpoint has this name');
      expect(answer.text).not.toContain('plinth.');
    }
  });
});

test('a test event shows the example of a public type, and of no other, also to an endpoint that the back end made', async () => {
  const { token } = await link();
  const id = await backEndEndpoint(['nothing.of.this'], []);
  const sent = await post(token, `/endpoints/${id}/test`, { event_type: 'order.paid' });
  expect(sent.status, sent.text).toBe(200);
  expect(await deliveriesOf(id)).toMatchObject([{ event_type: 'order.paid', status: 'pending' }]);
  for (const event_type of ['order.audited', 'nothing.known'])
    expect(code(await post(token, `/endpoints/${id}/test`, { event_type })), event_type).toBe('webhooks_type_not_public');
  expect(code(await post(token, `/endpoints/${id}/test`, { event_type: '*' })), 'a pattern').toBe('webhooks_test_type_invalid');
  expect(await deliveriesOf(id)).toHaveLength(1);
});
