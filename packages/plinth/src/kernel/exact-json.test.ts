import { expect, test } from 'vitest';
import { exactDigits, parseExactJson } from './exact-json.ts';

test('what JavaScript would round keeps its digits, and nothing else is other than JSON.parse makes it', () => {
  const text =
    '{"a":9007199254740993,"b":[-12345678901234567890.5,0.1234567890123456789],"c":9007199254740992,"d":0.30000000000000004,"e":"1234567890123456789","f":1e30}';
  const value = parseExactJson(text) as Record<string, unknown>;
  expect(JSON.stringify(value)).toBe(text.replace('1e30', '1e+30'));
  expect(exactDigits(value.a)).toBe('9007199254740993');
  expect(value).toMatchObject({ c: 9007199254740992, d: 0.30000000000000004, e: '1234567890123456789', f: 1e30 });
  expect(['c', 'd', 'e', 'f'].map((key) => exactDigits(value[key]))).toEqual([undefined, undefined, undefined, undefined]);
});

test('a few characters do not become a hundred thousand digits', () => {
  const value = parseExactJson('[1.00000000000000001e99999, 1234567890123456.5e-2]');
  expect(JSON.stringify(value)).toBe('[null,1234567890123456.5e-2]');
});

test('text that is no JSON is refused as JSON.parse refuses it', () => {
  expect(() => parseExactJson('{"a":09007199254740993}')).toThrow(SyntaxError);
});
