/** The API as its callers see it: permissions, answers, errors, and that another tenant finds nothing. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createEgress } from '#adapters/http/egress.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';

let database: TestDatabase;
const egress = createEgress();
const signals: string[] = [];
beforeAll(async () => {
  database = await testDatabase('webhooks_api');
  database.plinth.wake.on('webhooks.due', () => signals.push('due'));
});
afterAll(async () => {
  egress.close();
  await database.drop();
});
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts cascade'));

const caller = (tenantId: string, scopes = ['webhooks.*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: database.plinth.newId(),
    adapters: { egress },
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};
const input = { name: 'billing', patterns: ['order.*'], url: 'https://example.com/hooks' };

describe('subscriptions', () => {
  test('are made, read, changed, stopped, started and deleted', async () => {
    const a = caller(database.tenantA);
    const { id, secret } = await a.subscribe({ ...input, description: 'for billing' });
    expect(secret).toMatch(/^whsec_/);
    expect(await a.get({ id })).toMatchObject({
      id,
      ...input,
      description: 'for billing',
      enabled: true,
      created_by: 'ada',
      failure_count: 0,
      disabled_at: null,
    });
    expect(await a.update({ id, patterns: ['user.#'] })).toMatchObject({ ...input, patterns: ['user.#'] });
    const { delivery_id } = await a.sendTest({ id });
    expect(await a.disable({ id, reason: 'moving' })).toMatchObject({ enabled: false, disabled_reason: 'moving' });
    expect(await a.enable({ id })).toEqual({ waiting: 1 });
    expect((await a.rotateSecret({ id })).secret).not.toBe(secret);
    expect(await a.attempts({ id: delivery_id })).toEqual([]);
    expect(await a.remove({ id })).toEqual({ id });
    expect(await errorCode(a.get({ id }))).toBe('webhooks_subscription_not_found');
    expect(signals.length).toBeGreaterThanOrEqual(2);
  });

  test('a URL that can never be called is refused when it is given', async () => {
    const a = caller(database.tenantA);
    for (const url of [
      'http://example.com/',
      'https://127.0.0.1/',
      'https://[::ffff:10.0.0.1]/',
      'https://metadata.google.internal/',
      'https://example.com:22/',
    ]) {
      expect(await errorCode(a.subscribe({ ...input, url })), url).toBe('webhooks_url_refused');
    }
    const { id } = await a.subscribe(input);
    expect(await errorCode(a.update({ id, url: 'https://169.254.169.254/' }))).toBe('webhooks_url_refused');
    expect(await errorCode(a.subscribe({ ...input, name: 'x', url: 'nonsense' }))).toBe('webhooks_url_refused');
  });

  test('wrong input names the field', async () => {
    const a = caller(database.tenantA);
    const wrong = { ...input, patterns: 'order.*' } as unknown as typeof input;
    await expect(a.subscribe(wrong)).rejects.toThrow(/patterns/);
    await expect(a.get({ id: 'not-a-uuid' })).rejects.toThrow(/id/);
    expect(await errorCode(a.subscribe({ ...input, patterns: ['a..b'] }))).toBe('webhooks_pattern_invalid');
    await a.subscribe(input);
    expect(await errorCode(a.subscribe(input))).toBe('webhooks_name_taken');
  });

  test('every call asks for its permission', async () => {
    const { id } = await caller(database.tenantA).subscribe(input);
    const reader = caller(database.tenantA, ['webhooks.read']);
    const stranger = caller(database.tenantA, ['audit.*']);
    expect(await errorCode(reader.get({ id }))).toBe('no error');
    const writes = (who: typeof reader) => [
      who.subscribe({ ...input, name: 'n' }),
      who.update({ id }),
      who.remove({ id }),
      who.enable({ id }),
      who.disable({ id }),
      who.rotateSecret({ id }),
      who.sendTest({ id }),
      who.resend({ id }),
    ];
    for (const call of [...writes(reader), ...writes(stranger), stranger.get({ id }), stranger.attempts({ id })])
      expect(await errorCode(call)).toBe('kernel_forbidden');
  });

  test("another tenant's ids are answered like ids that do not exist, and nothing changes", async () => {
    const a = caller(database.tenantA);
    const b = caller(database.tenantB);
    const { id } = await a.subscribe(input);
    const { delivery_id } = await a.sendTest({ id });
    await database.admin.query(`update plinth_webhooks.deliveries set status = 'failed', due_at = 'infinity', finished_at = now()`);
    const before = await a.get({ id });
    const calls = (subscription: string, delivery: string) => [
      b.get({ id: subscription }),
      b.update({ id: subscription, name: 'mine' }),
      b.remove({ id: subscription }),
      b.enable({ id: subscription }),
      b.disable({ id: subscription }),
      b.rotateSecret({ id: subscription }),
      b.sendTest({ id: subscription }),
      b.resend({ id: delivery }),
    ];
    const missing = await Promise.all(calls(database.plinth.newId(), database.plinth.newId()).map(errorCode));
    expect(await Promise.all(calls(id, delivery_id).map(errorCode))).toEqual(missing);
    expect(missing).toEqual([...Array.from({ length: 7 }, () => 'webhooks_subscription_not_found'), 'webhooks_delivery_not_found']);
    expect(await b.attempts({ id: delivery_id })).toEqual([]);
    expect(await a.get({ id })).toEqual(before);
    expect(await a.resend({ id: delivery_id })).toEqual({ delivery_id });
  });
});

test('a replay takes a range, types, a filter and a rate; what the filter cannot be is refused', async () => {
  const [a, b] = [caller(database.tenantA), caller(database.tenantB)];
  await database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
    tx.query(`select plinth.publish_event('order.paid', jsonb_build_object('total', n)) from generate_series(1, 3) n`),
  );
  const [{ id }, other] = [await a.subscribe(input), await b.subscribe(input)];
  const since = '2026-01-01T00:00:00Z';
  const filter = [{ jsonpath: '$.data.total > 1' }];
  expect(await a.previewReplay({ id, since, filter })).toEqual({ total: 2 });
  expect(await a.previewReplay({ id, since, filter: null })).toEqual({ total: 3 });
  expect(await b.previewReplay({ id: other.id, since, filter })).toEqual({ total: 0 });
  expect(await errorCode(a.replay({ id, since, filter: { sql: 'true' } }))).toBe('webhooks_filter_invalid');
  const { replay_id } = await a.replay({ id, since, patterns: ['order.*'], filter, rate_per_second: 5 });
  const sql = 'select filter, patterns, rate_per_second, total from plinth.webhook_replays where id = $1';
  const [kept] = await database.plinth.transaction({ tenantId: database.tenantA }, (tx) => tx.query(sql, [replay_id]));
  expect(kept).toEqual({ filter, patterns: ['order.*'], rate_per_second: 5, total: 2 });
});
