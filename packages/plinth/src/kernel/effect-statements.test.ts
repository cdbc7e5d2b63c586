import { expect, test } from 'vitest';
import { effectWriter } from './effect-statements.ts';
import type { Effect, EffectInsert } from './effects.ts';
import { JsonText } from './effects.ts';

const context = { tenantId: 't', actor: { type: 'user', id: 'ana' }, correlationId: 'c' } as const;
const effect = (module: string, n: number, more: Record<string, unknown> = {}): Effect => ({ module, label: `${module} ${n}`, row: { n, ...more } });
const values = (row: Effect['row']): string[] | undefined => (row.odd ? undefined : [String(row.n), 'x']);
const plain = (table: string): EffectInsert => ({ text: `insert into ${table} values ($1, $2)`, values });
const write = effectWriter(
  new Map([
    ['a', plain('a')],
    ['b', { ...plain('b'), alone: { with: 'head as (insert into h values ($2) returning v)', text: 'insert into b select $1, v from head', values } }],
    ['c', plain('c')],
    ['x'.repeat(60), plain('long')],
  ]),
);

test('the first effect of each module go into one statement, with one row of parameters; those that follow keep their order', () => {
  expect(write(context, [effect('a', 1), effect('b', 2), effect('a', 3), effect('c', 4)])).toEqual([
    {
      name: 'plinth_a+b_alone+c',
      text: 'with effect_0 as (insert into a values ($1, $2)), head as (insert into h values ($4) returning v), effect_1 as (insert into b select $3, v from head) insert into c values ($5, $6)',
      values: ['1', 'x', '2', 'x', '4', 'x'],
    },
    { name: 'plinth_a', text: 'insert into a values ($1, $2)', values: ['3', 'x'] },
  ]);
});

test('an effect of a module that has several takes no way that is for one alone', () => {
  expect(write(context, [effect('b', 1), effect('b', 2)]).map(({ name }) => name)).toEqual(['plinth_b', 'plinth_b']);
});

test('what has no insert, is odd or many goes by the document, all of its module together', () => {
  const five = Array.from({ length: 5 }, (_, n) => effect('c', n));
  expect(write(context, [effect('a', 1), effect('b', 2), effect('b', 3, { odd: true }), ...five, effect('d', 9)])).toEqual([
    { name: 'plinth_a', text: 'insert into a values ($1, $2)', values: ['1', 'x'] },
    {
      name: 'plinth_effects',
      text: 'call plinth.write_effects($1::text::jsonb)',
      readsContext: true,
      values: [JSON.stringify({ b: [{ n: 2 }, { n: 3, odd: true }], c: five.map(({ row }) => row), d: [{ n: 9 }] })],
    },
  ]);
});

test('what is JSON text already is written as it is, in rows of a row as well', () => {
  const [statement] = write(context, [{ ...effect('a', 1, { data: new JsonText('{"x" :1}'), left: undefined }), rows: [{ data: new JsonText('[ ]') }, {}] }]);
  expect(statement?.values).toEqual(['{"a":[{"n":1,"data":{"x" :1},"rows":[{"data":[ ]},{}]}]}']);
});

test('a name that PostgreSQL would cut off is not made', () => {
  const names = write(context, [effect('x'.repeat(60), 1), effect('a', 2)]).map(({ name }) => name);
  expect(names.every((name) => name.length <= 63 || name === `plinth_${'x'.repeat(60)}`)).toBe(true);
  expect(names).toContain('plinth_a');
});
