import { expect, test } from 'vitest';
import type { Row } from '../api/types.ts';
import { steadied } from './steady.ts';

const row = (id: string, status = 'pending'): Row => ({ id, tenant_id: 't', status });

test('rows keep their places, each as it is now; what is new is counted and what has gone is marked', () => {
  const before = [row('c'), row('b'), row('a')];
  const { rows, gone, newer } = steadied(before, [row('e'), row('d'), row('c', 'failed'), row('a')]);
  expect(rows.map(({ id, status }) => [id, status])).toEqual([
    ['c', 'failed'],
    ['b', 'pending'],
    ['a', 'pending'],
  ]);
  expect([...gone].map(({ id }) => id)).toEqual(['b']);
  expect(newer).toBe(2);
});

test('the same id of another tenant is another row', () => {
  expect(steadied([row('a')], [{ ...row('a'), tenant_id: 'u' }]).newer).toBe(1);
});
