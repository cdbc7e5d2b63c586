import { describe, expect, test } from 'vitest';
import { momentOf, parseFilter } from './filter-text.ts';

const one = (text: string) => parseFilter(text).terms[0];
const NOW = Date.UTC(2026, 0, 31, 12);

describe('the text of a filter', () => {
  test.each([
    ['status:failed', { column: 'status', operator: '=', negated: false, values: [{ text: 'failed', prefix: false }] }],
    ['-status:failed', { negated: true, values: [{ text: 'failed', prefix: false }] }],
    [
      'status:failed,dead',
      {
        values: [
          { text: 'failed', prefix: false },
          { text: 'dead', prefix: false },
        ],
      },
    ],
    ['name:web*', { values: [{ text: 'web', prefix: true }] }],
    ['name:*', { values: [{ text: '', prefix: true }] }],
    ['attempts>3', { operator: '>', values: [{ text: '3', prefix: false }] }],
    ['attempts>=3', { operator: '>=' }],
    ['attempts<=3', { operator: '<=' }],
    ['at<2026-01-01', { operator: '<', values: [{ text: '2026-01-01', prefix: false }] }],
    ['name:"two words"', { values: [{ text: 'two words', prefix: false }] }],
    [
      'name:"a, b",c',
      {
        values: [
          { text: 'a, b', prefix: false },
          { text: 'c', prefix: false },
        ],
      },
    ],
    ['name:"with \\"quotes\\" and \\\\"', { values: [{ text: 'with "quotes" and \\', prefix: false }] }],
    ['name:"star*"', { values: [{ text: 'star*', prefix: false }] }],
    ['name:"two w"*', { values: [{ text: 'two w', prefix: true }] }],
    ['url:https://a.test/x?y=1:2', { column: 'url', values: [{ text: 'https://a.test/x?y=1:2', prefix: false }] }],
    ['entity:order:42', { column: 'entity', values: [{ text: 'order:42', prefix: false }] }],
  ])('%s', (text, expected) => {
    expect(one(text)).toMatchObject(expected);
  });

  test('terms, bounds and words stand side by side', () => {
    expect(parseFilter('  status:ok   since:7d until:2026-01-31 0192f7e0  -name:x ')).toEqual({
      terms: [
        { column: 'status', operator: '=', negated: false, values: [{ text: 'ok', prefix: false }] },
        { column: 'name', operator: '=', negated: true, values: [{ text: 'x', prefix: false }] },
      ],
      since: '7d',
      until: '2026-01-31',
      words: ['0192f7e0'],
    });
    expect(parseFilter('')).toEqual({ terms: [], since: undefined, until: undefined, words: [] });
  });

  test.each([
    ['name:"open', /not closed/],
    ['status:', /no value/],
    [`${'a:1 '.repeat(51)}`, /50 terms/],
    [`a:${'1,'.repeat(101)}`, /100 values/],
    ['x'.repeat(2001), /2000 characters/],
    ['a:\0', /NUL/],
  ])('%j is refused', (text, message) => {
    expect(() => parseFilter(text)).toThrow(message);
  });
});

describe('a moment', () => {
  test.each([
    ['30m', NOW - 1_800_000],
    ['24h', NOW - 86_400_000],
    ['7d', NOW - 7 * 86_400_000],
    ['2w', NOW - 14 * 86_400_000],
    ['90s', NOW - 90_000],
    ['2026-01-31', Date.UTC(2026, 0, 31)],
    ['2026-01-31T10:30', Date.UTC(2026, 0, 31, 10, 30)],
    ['2026-01-31T10:30:00Z', Date.UTC(2026, 0, 31, 10, 30)],
    ['2026-01-31T10:30:00+02:00', Date.UTC(2026, 0, 31, 8, 30)],
  ])('%s', (text, expected) => {
    expect(momentOf(text, NOW)).toBe(expected);
  });

  test.each(['yesterday', '7', '2026-13-01', '1e9d', '', '2026-01-31 10:30'])('%j is none', (text) => {
    expect(() => momentOf(text, NOW)).toThrow(/is no time/);
  });
});
