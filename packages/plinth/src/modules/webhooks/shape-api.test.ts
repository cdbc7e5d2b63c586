/** Filters, transforms, keys and previews as callers of the API see them. */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { deriveKeys } from './derive-keys.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_shape_api');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const caller = (tenantId: string, scopes = ['webhooks.*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};
const input = { name: 'billing', patterns: ['order.*'], url: 'https://example.com/hooks' };

test('a filter, a transform and a way of signing are given, changed, taken away and shown', async () => {
  const a = caller(database.tenantA);
  const { id, secret } = await a.subscribe({ ...input, filter: '$.data.total > 1', transform: { payload: 'thin' }, signing: 'v1a' });
  expect(secret).toBeNull();
  await database.plinth.asWorker({}, deriveKeys);
  const shown = await a.get({ id });
  expect(shown).toMatchObject({ filter: '$.data.total > 1', transform: { payload: 'thin' }, transform_version: 1, signing: 'v1a' });
  expect(shown.public_keys).toHaveLength(1);
  const filter = [{ prefix: { type: 'order.' } }, { not: { exact: { 'data.test': true } } }];
  expect(await a.update({ id, filter, transform: { omit: ['data.card'] } })).toMatchObject({
    filter,
    transform: { omit: ['data.card'] },
    transform_version: 2,
  });
  expect(await a.update({ id, name: 'renamed' })).toMatchObject({ name: 'renamed', filter, transform_version: 2 });
  expect(await a.update({ id, filter: null, transform: null, signing: 'both' })).toMatchObject({
    filter: null,
    transform: null,
    transform_version: 3,
    signing: 'both',
  });
  expect((await a.transforms({ id })).map(({ version, transform }) => [version, transform])).toEqual([
    [3, null],
    [2, { omit: ['data.card'] }],
    [1, { payload: 'thin' }],
  ]);
  await a.rotateKey({ id });
  await database.plinth.asWorker({}, deriveKeys);
  expect((await a.get({ id })).public_keys).toHaveLength(2);
});

test('what could not work is refused with its own error, and nothing is saved', async () => {
  const a = caller(database.tenantA);
  expect(await errorCode(a.subscribe({ ...input, filter: '$.a like_regex "x"' }))).toBe('webhooks_filter_invalid');
  expect(await errorCode(a.subscribe({ ...input, filter: { sql: 'x' } }))).toBe('webhooks_filter_invalid');
  expect(await errorCode(a.subscribe({ ...input, transform: { omit: ['type'] } }))).toBe('webhooks_transform_invalid');
  expect(await errorCode(a.preview({ filter: '$$' }))).toBe('webhooks_filter_invalid');
  expect(await errorCode(a.preview({ transform: { data: '{{ x }}' } }))).toBe('webhooks_transform_invalid');
  await expect(a.subscribe({ ...input, signing: 'rsa' } as unknown as typeof input)).rejects.toThrow(/signing/);
  const { id } = await a.subscribe(input);
  expect(await errorCode(a.update({ id, filter: '$.a == $.b' }))).toBe('webhooks_filter_invalid');
  expect(await a.get({ id })).toMatchObject({ filter: null, transform_version: 0, signing: 'v1' });
});

test('a preview counts and shows what a subscription would get of the own events', async () => {
  for (const tenantId of [database.tenantA, database.tenantB])
    await database.plinth.transaction({ tenantId }, async (tx) => {
      for (const n of [1, 2, 3]) tx.events.publish('order.paid', { n });
    });
  const seen = await caller(database.tenantA).preview({ patterns: ['order.#'], filter: '$.data.n != 2', transform: { data: { n: '{{ data.n }}' } } });
  expect([seen.looked, seen.matched]).toEqual([3, 2]);
  expect(seen.events.map(({ matches, body }) => [matches, body === null ? null : (JSON.parse(body) as { data: unknown }).data])).toEqual([
    [true, { n: 3 }],
    [false, null],
    [true, { n: 1 }],
  ]);
  expect((await caller(database.tenantA).preview({ limit: 1 })).events).toHaveLength(1);
});

test('every call asks for its permission, and another tenant finds nothing', async () => {
  const a = caller(database.tenantA);
  const b = caller(database.tenantB);
  const { id } = await a.subscribe({ ...input, transform: { payload: 'thin' } });
  expect((await a.matching({ type: 'order.paid' })).map(({ name }) => name)).toEqual(['billing']);
  expect(await b.matching({ type: 'order.paid' })).toEqual([]);
  expect(await b.transforms({ id })).toEqual([]);
  expect(await errorCode(b.rotateKey({ id }))).toBe('webhooks_subscription_not_found');
  const reader = caller(database.tenantA, ['webhooks.read']);
  expect((await reader.matching({ type: 'order.paid' })).length + (await reader.transforms({ id })).length).toBe(2);
  const made = await a.addSource({ name: 'github', profile: 'github' });
  for (const call of [
    reader.preview({}),
    reader.rotateKey({ id }),
    reader.addSource({ name: 'x', profile: 'github' }),
    reader.removeSource(made),
    reader.enableSource(made),
    reader.disableSource(made),
    reader.rotateSourceSecret({ id: made.id }),
    caller(database.tenantA, ['audit.*']).sources(),
    caller(database.tenantA, ['audit.*']).getSource(made),
    caller(database.tenantA, ['audit.*']).matching({ type: 'x' }),
  ])
    expect(await errorCode(call)).toBe('kernel_forbidden');
});
