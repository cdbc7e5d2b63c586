/** Chains of upcasters, seen from events that were stored by every version of a program. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import fossils from './fossils/order-placed.json' with { type: 'json' };
import { readStream } from './stream.ts';
import { defineUpcasters, fossilFaults } from './upcast.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('upcast');
});
afterAll(() => database.drop());

const upcasters = defineUpcasters({
  'order.placed': {
    1: ({ total, ...rest }) => ({ ...rest, cents: Math.round(Number(total) * 100) }),
    2: (data) => ({ currency: 'EUR', ...data }),
    3: (data) => ({ lines: [], ...data }),
  },
});
const newest = {
  type: 'object',
  required: ['cents', 'currency', 'lines'],
  properties: { cents: { type: 'integer' }, currency: { type: 'string' }, lines: { type: 'array' } },
  additionalProperties: false,
};

describe('a chain of upcasters', () => {
  test('brings the stored fixture of every version into the newest form', () => {
    expect(fossils.map(({ schemaVersion }) => schemaVersion)).toEqual([1, 2, 3, 4]);
    expect(fossilFaults(upcasters, fossils, { 'order.placed': newest })).toEqual([]);
  });

  test('is applied to events as they are read from the log, in the version that they were written in', async () => {
    const { plinth, tenantA } = database;
    const stream = { type: 'order', id: 'old' };
    for (const { type, schemaVersion, data } of fossils) {
      await plinth.transaction({ tenantId: tenantA }, async (tx) => {
        // The schemas as they were, so that each event carries the version it was written in.
        await tx.query(`select plinth.define_event_type($1, jsonb_build_object('title', 'version ' || $2::text), 'off')`, [type, schemaVersion]);
        tx.events.append(stream, [{ type, data, schemaVersion }]);
      });
    }
    const events = await plinth.transaction({ tenantId: tenantA }, (tx) => Array.fromAsync(readStream(tx, stream, { upcasters })));
    expect(events.map(({ data, schemaVersion }) => ({ data, schemaVersion }))).toEqual(fossils.map(({ becomes }) => ({ data: becomes, schemaVersion: 4 })));
    const asStored = await plinth.transaction({ tenantId: tenantA }, (tx) => Array.fromAsync(readStream(tx, stream)));
    expect(asStored.map(({ data, schemaVersion }) => ({ data, schemaVersion }))).toEqual(fossils.map(({ data, schemaVersion }) => ({ data, schemaVersion })));
  });

  test('leaves events of other types and of versions that it does not know as they are', async () => {
    const { plinth, tenantB } = database;
    const stream = { type: 'order', id: 'new' };
    const events = await plinth.transaction({ tenantId: tenantB }, async (tx) => {
      for (const n of [1, 2, 3, 4, 5]) await tx.query(`select plinth.define_event_type('order.placed', jsonb_build_object('title', $1::text), 'off')`, [n]);
      tx.events.append(stream, [
        { type: 'order.placed', data: { future: true } },
        { type: 'order.noted', data: { n: 1 } },
      ]);
      return Array.fromAsync(readStream(tx, stream, { upcasters }));
    });
    expect(events).toMatchObject([
      { schemaVersion: 5, data: { future: true } },
      { schemaVersion: 1, data: { n: 1 } },
    ]);
  });

  test('that fails names the event, the type and the version', async () => {
    const broken = defineUpcasters({
      'order.placed': {
        1: () => {
          throw new Error('no total');
        },
      },
      'order.noted': { 1: () => [] as unknown as Record<string, unknown> },
    });
    const { plinth, tenantA } = database;
    const read = (type: string) =>
      plinth.transaction({ tenantId: tenantA }, async (tx) => {
        const [id] = tx.events.append({ type: 'broken', id: type }, [{ type, schemaVersion: type === 'order.placed' ? 1 : undefined }]);
        await expect(Array.fromAsync(readStream(tx, { type: 'broken', id: type }, { upcasters: broken }))).rejects.toMatchObject({
          code: 'events_upcast_failed',
          detail: { event_id: id, type, schema_version: 1 },
        });
      });
    await read('order.placed');
    await read('order.noted');
  });

  test('with a gap is refused where it is defined', () => {
    expect(() => defineUpcasters({ a: { 2: (data) => data } })).toThrow(RangeError);
    expect(() => defineUpcasters({ a: { 1: (data) => data, 3: (data) => data } })).toThrow('no upcaster for version 2');
  });
});

describe('fossilFaults', () => {
  test('tells a version without a fossil, one that becomes something else, that does not fit, and an upcaster that changes its input', () => {
    expect(fossilFaults(upcasters, fossils.slice(1))).toEqual(['order.placed version 1 has no fossil']);
    expect(fossilFaults(upcasters, [...fossils, { type: 'order.placed', schemaVersion: 9, data: {} }])).toEqual([
      'order.placed version 9 ends in version 9, not 4',
    ]);
    expect(fossilFaults(upcasters, [...fossils, { type: 'order.placed', schemaVersion: 3, data: {}, becomes: {} }])).toEqual([
      'order.placed version 3 becomes {"lines":[]}',
    ]);
    expect(fossilFaults(upcasters, [...fossils, { type: 'order.placed', schemaVersion: 3, data: {} }], { 'order.placed': newest })).toEqual([
      expect.stringContaining("order.placed version 3 does not fit the newest schema: the payload must have required property 'cents'"),
    ]);
    const careless = defineUpcasters({ a: { 1: (data) => Object.assign(data, { more: 1 }) } });
    const fossil = (schemaVersion: number) => ({ type: 'a', schemaVersion, data: {} });
    expect(fossilFaults(careless, [fossil(1), fossil(2)])).toEqual(['a version 1: an upcaster changed its input']);
    const broken = defineUpcasters({ a: { 1: () => null as unknown as Record<string, unknown> } });
    expect(fossilFaults(broken, [fossil(1), fossil(2)])).toEqual([expect.stringContaining('gave no object')]);
  });
});
