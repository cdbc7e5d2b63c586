import { expect, test } from 'vitest';
import { diff } from './diff.ts';

test('a difference lists what was added, removed and changed, leaf by leaf', () => {
  const { changes, same } = diff(
    { status: 'draft', total: 1, ship: { city: 'Ulm', zip: '1' } },
    { status: 'placed', ship: { city: 'Ulm', zip: '2' }, by: null },
  );
  expect(changes).toEqual([
    { path: 'status', before: 'draft', after: 'placed', kind: 'changed' },
    { path: 'total', before: 1, kind: 'removed' },
    { path: 'ship.zip', before: '1', after: '2', kind: 'changed' },
    { path: 'by', after: null, kind: 'added' },
  ]);
  expect(same).toBe(1);
});

test('without a before everything was added, without an after everything removed', () => {
  expect(diff(null, { a: 1 }).changes).toEqual([{ path: 'a', after: 1, kind: 'added' }]);
  expect(diff({ a: 1 }, undefined).changes).toEqual([{ path: 'a', before: 1, kind: 'removed' }]);
});

test('a value that changed its shape is one change', () => {
  expect(diff({ a: [1] }, { a: { b: 1 } }).changes).toEqual([{ path: 'a', before: [1], after: { b: 1 }, kind: 'changed' }]);
});
