import { expect, test } from 'vitest';
import { ago, duration, shortId, words } from './format.ts';

test('durations are read at a glance', () => {
  expect([0, 0.4, 38, 999, 1000, 2840, 61_000, 3_720_000, 200_000_000].map(duration)).toEqual([
    '0 ms',
    '0.4 ms',
    '38 ms',
    '999 ms',
    '1.00 s',
    '2.84 s',
    '1 min 1 s',
    '1 h 2 min',
    '2 d 7 h',
  ]);
});

test('times are told from now', () => {
  const now = Date.parse('2026-11-21T10:00:00Z');
  expect(ago(new Date(now - 500), now)).toBe('now');
  expect(ago(new Date(now - 185_000), now)).toBe('3 min. ago');
  expect(ago(new Date(now + 7_200_000), now)).toBe('in 2 hr.');
});

test('ids made together are told apart by their tails', () => {
  expect(shortId('01a1fbe9-f228-71f9-8dcf-01381b6f0e29')).toBe('01a1…6f0e29');
  expect(shortId('order-42')).toBe('order-42');
});

test('names of columns are read as words, and letters that stand for words as they are written', () => {
  expect(['entity_type', 'ip', 'return_url', 'shipped'].map(words)).toEqual(['Entity type', 'IP', 'Return URL', 'Shipped']);
});
