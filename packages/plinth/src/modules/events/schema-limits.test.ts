/** What a tenant's schema may cost the process that it shares with others: a moment. */
import { randomBytes } from 'node:crypto';
import { createContext, runInContext } from 'node:vm';
import { afterAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';
import { TYPES_SIGNAL } from './check.ts';
import { personalFields } from './personal-schema.ts';
import { compileSchema } from './schema.ts';
import { costFor } from './schema-cost.ts';

const database = await testDatabase('schema limits');
const { tenantA: a, tenantB: b } = database;
const plinth = createPlinth({ database: { url: database.serverUrl }, keys: createKeyRing({ current: randomBytes(32).toString('base64') }) });
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

/** a0 refers to a1 twice, that to a2 twice ...: so many ways lead to the last. */
const forked = (levels: number, last: object, word = 'allOf'): Record<string, unknown> => {
  const ways = (n: number) => [{ $ref: `#/$defs/a${n}` }, { title: 'the other way', $ref: `#/$defs/a${n}` }];
  return Object.fromEntries(Array.from({ length: levels + 1 }, (_, n) => [`a${n}`, n === levels ? last : { [word]: ways(n + 1) }]));
};
const nested = (levels: number): object => (levels === 0 ? {} : { a: nested(levels - 1) });
const back = { properties: { a: { $ref: '#' } } };

const costly: [string, object, Record<string, unknown>][] = [
  ['compares all items', { properties: { a: { uniqueItems: true } } }, { a: Array.from({ length: 40_000 }, (_, n) => [n]) }],
  ['refers to the same part in ever more ways', { $defs: forked(40, { type: 'object' }), $ref: '#/$defs/a0' }, {}],
  ['refers to itself twice', { allOf: [back, back] }, { a: nested(60) }],
  [
    'has patterns that try all there is',
    { properties: { a: { items: { not: { pattern: 'a*a*b', maxLength: 256 } } } } },
    { a: Array.from({ length: 4_000 }, () => 'a'.repeat(256)) },
  ],
];

describe('a schema that', () => {
  test.each(costly)('%s refuses the payload when that takes too long, and others go on', async (what, schema, payload) => {
    const type = `costly.${what.replaceAll(' ', '_')}`;
    await plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query('select plinth.define_event_type($1, $2)', [type, JSON.stringify(schema)]);
      tx.signal(TYPES_SIGNAL);
    });
    await expect(plinth.transaction({ tenantId: a }, async (tx) => void tx.events.publish(type, payload))).rejects.toMatchObject({
      code: 'events_payload_rejected',
      message: expect.stringContaining('takes longer'),
    });
    await plinth.transaction({ tenantId: b }, async (tx) => void tx.events.publish(type, payload));
  });

  test.each(['[', '[a', '{1', '(', '\\', 'a|'])('has a pattern of %s again and again is looked at, and taken or refused, as fast as another', (part) => {
    const schema = { properties: { a: { type: 'string', maxLength: 9, pattern: part.repeat(100_000 / part.length) } } };
    const look = (): boolean => {
      try {
        return compileSchema(schema) !== undefined;
      } catch {
        return false;
      }
    };
    // It was minutes: the limit is there so that a mistake fails and does not stand still.
    expect([true, false]).toContain(runInContext('look()', createContext({ look }), { timeout: 30_000 }));
  });

  test('is larger than can be kept, or marks a field in more ways than can be followed, is refused', () => {
    expect(() => compileSchema({ enum: ['x'.repeat(200_000)] })).toThrow(/characters/);
    expect(() => personalFields({ 'x-subject': '/id', $defs: forked(40, { properties: { m: { 'x-personal': true } } }), $ref: '#/$defs/a0' })).toThrow(/parts/);
  });

  test('has alternatives in one another is not compared with its versions for ever', { timeout: 60_000 }, async () => {
    const alternatives = (last: object) => ({ $ref: '#/$defs/a0', $defs: forked(10, last, 'anyOf') });
    const define = (schema: object) =>
      plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth.define_event_type('costly.compared', $1)`, [JSON.stringify(schema)]));
    await define(alternatives({ type: 'object' }));
    await expect(define(alternatives({ type: 'object', minProperties: 1 }))).rejects.toMatchObject({
      code: 'events_type_invalid',
      message: expect.stringContaining('takes longer'),
    });
  });

  test('is an ordinary one costs next to nothing, so that no time is taken', () => {
    const line = {
      type: 'object',
      properties: { sku: { type: 'string', pattern: '^[A-Z]{2}-[0-9]+$', maxLength: 20 }, tags: { type: 'array', uniqueItems: true } },
    };
    const { cost } = compileSchema({ $defs: { line }, properties: { mail: { format: 'email' }, lines: { items: { $ref: '#/$defs/line' } } } });
    expect(costFor(cost, 1_000)).toBeLessThan(10 ** 9 / 2);
  });
});

test('a payload with thousands of personal fields is encrypted while the process does other things', async () => {
  const schema = { 'x-subject': '/id', properties: { id: {}, all: { items: { 'x-personal': true } } } };
  await plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth.define_event_type('many.fields', $1)`, [JSON.stringify(schema)]));
  let turns = 0;
  const ticking = setInterval(() => turns++, 0);
  try {
    await plinth.transaction(
      { tenantId: a },
      async (tx) => void tx.events.publish('many.fields', { id: 'p', all: Array.from({ length: 4_000 }, (_, n) => n) }),
    );
    expect(turns).toBeGreaterThan(4);
  } finally {
    clearInterval(ticking);
  }
});
