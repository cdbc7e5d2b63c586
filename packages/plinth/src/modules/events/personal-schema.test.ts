import { describe, expect, test } from 'vitest';
import { personalFields, placesOf } from './personal-schema.ts';

const mark = { 'x-personal': true };
const at = (schema: Record<string, unknown>, payload: Record<string, unknown>): unknown[] =>
  personalFields({ 'x-subject': '/id', ...schema }).flatMap(({ path }) => placesOf(payload, path).map(({ holder, key }) => holder[key]));

describe('personal fields', () => {
  test('are found in properties, items, other members, references and branches', () => {
    const schema = {
      properties: {
        name: mark,
        address: { properties: { city: mark, country: {} } },
        people: { items: { properties: { mail: mark } } },
        notes: { properties: { known: {} }, additionalProperties: mark },
        pair: { prefixItems: [{}, mark] },
        shared: { $ref: '#/$defs/contact' },
        either: { anyOf: [{ properties: { phone: mark } }, { type: 'null' }] },
      },
      $defs: { contact: { properties: { fax: { ...mark, type: 'string' } } } },
    };
    const payload = {
      name: 1,
      address: { city: 2, country: 'x' },
      people: [{ mail: 3 }, { mail: 4 }, {}],
      notes: { known: 'x', other: 5 },
      pair: ['x', 6],
      shared: { fax: 7 },
      either: { phone: 8 },
      more: 'x',
    };
    expect(at(schema, payload)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(at(schema, { people: 'not an array', either: null })).toEqual([]);
  });

  test('belong to the subject beside them, else to that of the schema', () => {
    const schema = { 'x-subject': '/buyer', properties: { a: mark, b: { ...mark, 'x-subject': '/seller/id' } } };
    expect(personalFields(schema).map(({ subject }) => subject)).toEqual(['/buyer', '/seller/id']);
    expect(personalFields({ properties: { a: { 'x-personal': false } } })).toEqual([]);
  });

  test('that cannot be told from the schema make it invalid: nothing is left unencrypted by mistake', () => {
    const refused: [Record<string, unknown>, RegExp][] = [
      [{ properties: { a: mark } }, /x-subject/],
      [{ 'x-subject': 'id', properties: { a: mark } }, /x-subject/],
      [{ 'x-subject': '/id', ...mark }, /as a whole/],
      [{ 'x-subject': '/id', properties: { a: { not: mark } } }, /not followed/],
      [{ 'x-subject': '/id', properties: { a: { contains: mark } } }, /not followed/],
      [{ 'x-subject': '/id', $defs: { unused: mark } }, /not followed/],
      [{ 'x-subject': '/id', properties: { name: mark, child: { $ref: '#' } } }, /refers to itself/],
    ];
    for (const [schema, reason] of refused) expect(() => personalFields(schema)).toThrow(reason);
  });
});
