/** The API as its callers see it: answers, errors, permissions, and that another tenant finds nothing. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { OWN_TYPES } from './event-shapes.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('events_api');
});
afterAll(() => database.drop());

const caller = (tenantId: string, scopes = ['events.*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};

describe('events', () => {
  test('are published, read alone and as a stream; another tenant finds nothing', async () => {
    const a = caller(database.tenantA);
    const stream = { type: 'order', id: 'o/1' };
    const { id } = await a.publish({ type: 'order.created', data: { total: 5 }, stream, expected_version: 'none', metadata: { from: 'api' } });
    await a.publish({ type: 'order.paid', stream, expected_version: 1, causation_id: id, occurred_at: '2026-01-01T00:00:00Z' });
    expect(await a.get({ id })).toMatchObject({
      id,
      event_type: 'order.created',
      version: 1,
      payload: { total: 5 },
      metadata: { from: 'api' },
      actor_id: 'ada',
    });
    const page = await a.stream({ ...stream, limit: 1 });
    expect(page).toMatchObject({ events: [{ version: 1 }], next_version: 2 });
    expect(await a.stream({ ...stream, from_version: 2 })).toMatchObject({
      events: [{ version: 2, causation_id: id, occurred_at: new Date('2026-01-01') }],
      next_version: null,
    });
    const b = caller(database.tenantB);
    expect(await errorCode(b.get({ id }))).toBe('events_event_not_found');
    expect(await errorCode(a.get({ id: database.plinth.newId() }))).toBe('events_event_not_found');
    expect(await b.stream(stream)).toEqual({ events: [], next_version: null });
  });

  test('that Plinth itself publishes can be neither forged nor given a schema that would hold them up', async () => {
    expect((await database.admin.query('select plinth_events.own_types() as types')).rows[0].types).toEqual(OWN_TYPES);
    const [a, stream] = [caller(database.tenantA), { type: 'order', id: 'forged' }];
    for (const type of OWN_TYPES) {
      expect(await errorCode(a.publish({ type }))).toBe('kernel_invalid_input');
      expect(await errorCode(a.append({ ...stream, events: [{ type }] }))).toBe('kernel_invalid_input');
      expect(await errorCode(a.appendAll({ appends: [{ stream, events: [{ type }] }] }))).toBe('kernel_invalid_input');
      expect(await errorCode(a.ingestCloudEvents({ events: [{ specversion: '1.0', id: type, source: '/s', type }] }))).toBe('events_cloud_event_invalid');
      const define = database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
        tx.query(`select plinth.define_event_type($1, '{"type":"object","required":["nope"]}', 'reject')`, [type]),
      );
      expect(await errorCode(define)).toBe('events_type_invalid');
    }
  });

  test('are appended to streams with an expected version, one or several, and read in both directions', async () => {
    const a = caller(database.tenantA);
    const stream = { type: 'order', id: 'api-stream' };
    const events = Array.from({ length: 5 }, (_, n) => ({ type: 'order.noted', data: { n: n + 1 } }));
    const first = await a.append({ ...stream, events, expected_version: 'none', idempotency_key: 'api-append' });
    expect(first).toMatchObject({ version: 5, duplicate: false });
    expect(first.events.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5]);
    expect(await a.append({ ...stream, events, expected_version: 'none', idempotency_key: 'api-append' })).toEqual({ ...first, duplicate: true });
    const conflict = a.append({ ...stream, events, expected_version: 3 });
    await expect(conflict).rejects.toMatchObject({ cause: { code: 'events_version_conflict', status: 409, detail: { expected: 3, actual: 5 } } });
    expect(await errorCode(a.append({ ...stream, events: events.slice(0, 1), idempotency_key: 'api-append' }))).toBe('events_idempotency_conflict');
    expect(await errorCode(a.append({ ...stream, events: [] }))).toBe('kernel_invalid_input');

    const newest = await a.stream({ ...stream, direction: 'backward', limit: 2 });
    expect(newest.events.map(({ version }) => version)).toEqual([5, 4]);
    expect(newest.next_version).toBe(3);
    const oldest = await a.stream({ ...stream, direction: 'backward', from_version: 3, limit: 3 });
    expect(oldest).toMatchObject({ events: [{ version: 3 }, { version: 2 }, { version: 1 }], next_version: null });

    const several = await a.appendAll({
      appends: [
        { stream: { type: 'order', id: 'api-other' }, events: [{ type: 'order.noted' }], expected_version: 'none' },
        { stream, expected_version: 5 },
      ],
    });
    expect(several).toMatchObject({ events: [{ stream: { type: 'order', id: 'api-other' }, version: 1 }], duplicate: false });
    const stale = [
      { stream: { type: 'order', id: 'api-other' }, events: [{ type: 'order.noted' }] },
      { stream, expected_version: 4 },
    ];
    expect(await errorCode(a.appendAll({ appends: stale }))).toBe('events_version_conflict');

    const b = caller(database.tenantB);
    expect(await b.stream({ type: 'order', id: 'api-other' })).toEqual({ events: [], next_version: null });
    expect(await b.append({ ...stream, events: events.slice(0, 1), expected_version: 'none', idempotency_key: 'api-append' })).toMatchObject({ version: 1 });
    const reader = caller(database.tenantA, ['events.read']);
    expect(await errorCode(reader.append({ ...stream, events }))).toBe('kernel_forbidden');
    expect(await errorCode(reader.appendAll({ appends: stale }))).toBe('kernel_forbidden');
    expect(await errorCode(caller(database.tenantA, ['events.write']).stream(stream))).toBe('kernel_forbidden');
  });

  test('under one idempotency key are one event, whose id every answer names', async () => {
    const a = caller(database.tenantA);
    const input = { type: 'order.paid', data: { n: 1 }, idempotency_key: 'pay-1' };
    const first = await a.publish(input);
    expect(first.duplicate).toBe(false);
    expect(await a.publish(input)).toEqual({ id: first.id, duplicate: true });
    expect(await errorCode(a.publish({ ...input, data: { n: 2 } }))).toBe('events_idempotency_conflict');
    expect((await caller(database.tenantB).publish(input)).duplicate).toBe(false);
  });

  test('that are not valid, conflict or are not allowed get the documented error', async () => {
    const a = caller(database.tenantA);
    expect(await errorCode(a.publish({ type: 'not a type' }))).toBe('events_event_invalid');
    expect(await errorCode(a.publish({ type: '' }))).toBe('kernel_invalid_input');
    expect(await errorCode(a.publish({ type: 'x', expected_version: 3 }))).toBe('events_event_invalid');
    expect(await errorCode(a.publish({ type: 'x', stream: { type: 'order', id: 'none' }, expected_version: 'exists' }))).toBe('events_version_conflict');
    expect(await errorCode(a.publish({ type: 'x', data: { text: 'a\0b' } }))).toBe('kernel_invalid_input');
    expect(await errorCode(caller(database.tenantA, ['events.read']).publish({ type: 'x' }))).toBe('kernel_forbidden');
    expect(await errorCode(caller(database.tenantA, ['events.write']).types({}))).toBe('kernel_forbidden');
  });
});

describe('event types', () => {
  const schema = { type: 'object', required: ['total'] };

  test('are registered in versions, checked at once, listed and removed', async () => {
    const a = caller(database.tenantA);
    expect(await a.publish({ type: 'typed.one' })).toMatchObject({ duplicate: false });
    expect(await a.putType({ name: 'typed.one', schema, example: { total: 1 }, description: 'One' })).toEqual({ name: 'typed.one', version: 1 });
    expect(await errorCode(a.publish({ type: 'typed.one' }))).toBe('events_payload_rejected');
    expect(await a.checkType({ name: 'typed.one', schema: { type: 'object', required: ['total', 'vat'] } })).toEqual({
      compatible: false,
      breaks: [{ version: 1, direction: 'backward', pointer: '/required/vat', problem: 'is required, and could be missing' }],
    });
    expect(await errorCode(a.putType({ name: 'typed.one', schema: { type: 'object', required: ['total', 'vat'] } }))).toBe('events_type_incompatible');
    expect(await a.putType({ name: 'typed.one', schema: {}, mode: 'warn', visibility: 'internal' })).toEqual({ name: 'typed.one', version: 2 });
    expect(await a.type({ name: 'typed.one' })).toMatchObject({ versions: [{ version: 2, mode: 'warn', description: 'One', common: false }, { version: 1 }] });
    expect((await a.types({})).types.map((type) => [type.name, type.version])).toEqual([['typed.one', 2]]);
    expect((await a.types({ visibility: 'public' })).types).toEqual([]);
    expect(await a.deprecateType({ name: 'typed.one', message: 'Say more.', successor: 'typed.two' })).toEqual({ name: 'typed.one', versions: 2 });
    expect((await a.types({ deprecated: true, visibility: 'internal' })).types).toMatchObject([{ deprecation: 'Say more.', successor: 'typed.two' }]);
    const deprecated = [{ type: 'typed.one', message: 'Say more.', successor: 'typed.two' }];
    expect(await a.publish({ type: 'typed.one' })).toMatchObject({ duplicate: false, deprecated });
    expect(await a.append({ type: 'typed', id: '1', events: [{ type: 'typed.one' }, { type: 'typed.three' }] })).toMatchObject({ version: 2, deprecated });
    const stream = { type: 'typed', id: '2' };
    expect(await a.appendAll({ appends: [{ stream, events: [{ type: 'typed.one' }, { type: 'typed.one' }] }] })).toMatchObject({
      duplicate: false,
      deprecated,
    });
    expect(await a.appendAll({ appends: [{ stream, events: [{ type: 'typed.three' }] }] })).not.toHaveProperty('deprecated');
    const cloudEvent = (id: string, type: string) => ({ specversion: '1.0', source: 'test', id, type });
    expect(await a.ingestCloudEvents({ events: [cloudEvent('1', 'typed.three'), cloudEvent('2', 'typed.one')] })).toMatchObject({ deprecated });
    expect(await a.ingestCloudEvents({ events: [cloudEvent('3', 'typed.three')] })).not.toHaveProperty('deprecated');
    expect(await a.undeprecateType({ name: 'typed.one' })).toMatchObject({ versions: 2 });
    expect(await a.publish({ type: 'typed.one' })).not.toHaveProperty('deprecated');
    const b = caller(database.tenantB);
    expect(await b.publish({ type: 'typed.one' })).not.toHaveProperty('deprecated');
    expect(await b.types({})).toEqual({ types: [], next: null });
    expect(await errorCode(b.deleteType({ name: 'typed.one' }))).toBe('events_type_unknown');
    expect(await a.deleteType({ name: 'typed.one' })).toEqual({ name: 'typed.one', versions: 2 });
    expect(await errorCode(a.publish({ type: 'typed.one' }))).toBe('no error');
  });

  test('that do not compile or whose example does not fit are refused', async () => {
    const a = caller(database.tenantA);
    expect(await errorCode(a.putType({ name: 'bad', schema: { type: 'objekt' } }))).toBe('events_type_invalid');
    expect(await errorCode(a.putType({ name: 'bad', schema, example: {} }))).toBe('events_type_invalid');
    expect(await errorCode(a.putType({ name: 'a b', schema }))).toBe('events_type_invalid');
    expect(await errorCode(a.type({ name: 'bad' }))).toBe('events_type_unknown');
  });
});
