import { expect, test } from 'vitest';
import type { ListMeta, Row } from '../api/types.ts';
import { latestStories } from './latest.ts';

const meta = (title: string, columns: string[]): ListMeta => ({
  module: title,
  list: title,
  title,
  columns: columns.map((name) => ({ name, type: 'text' })),
  filters: [],
  empty: '',
  correlation: 'correlation_id',
  actions: [],
  explain: null,
});
const row = (second: number, values: Record<string, string>): Row => ({
  id: `${second}`,
  correlation_id: 'c',
  created_at: `2026-01-01T00:00:0${second}Z`,
  ...values,
});

test('a story is called by the first thing that happened, not by the key, the reason or the address that came before it', () => {
  const stories = latestStories(
    [meta('Keys', ['scope', 'key']), meta('Accesses', ['reason', 'ip']), meta('Log', ['action'])],
    [
      [row(1, { scope: 'orders.create api_key:1', key: 'k1' })],
      [row(2, { reason: 'Ticket 7', ip: '192.0.2.1' })],
      [row(4, { action: 'order.paid' }), row(3, { action: 'order.placed' }), row(2, { action: 'operator.accessed' })],
    ],
  );
  expect(stories.map(({ title, at }) => [title, at])).toEqual([['order.placed', '2026-01-01T00:00:04Z']]);
});

test('where nothing has a name the list of the first record gives one', () => {
  expect(latestStories([meta('Keys', ['scope'])], [[row(1, { scope: 'x' })]]).map(({ title }) => title)).toEqual(['Keys']);
});
