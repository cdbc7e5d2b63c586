import { expect, test } from 'vitest';
import { parseJson, pretty, rawNumber } from './json.ts';

test('numbers that JavaScript would round keep every digit, on screen and when copied', () => {
  const text = '{"position":9007199254740993,"share":0.12345678901234567890,"huge":1e400,"small":7,"part":0.1}';
  const value = parseJson(text) as Record<string, unknown>;
  expect(rawNumber(value.position)).toBe('9007199254740993');
  expect(rawNumber(value.share)).toBe('0.12345678901234567890');
  expect(rawNumber(value.huge)).toBe('1e400');
  expect(value.small).toBe(7);
  expect(value.part).toBe(0.1);
  expect(JSON.stringify(value)).toBe(text);
});

test('a body is indented with the digits that were sent, and stays as it is when it is no JSON', () => {
  expect(pretty('{"id":9007199254740993}')).toBe('{\n  "id": 9007199254740993\n}');
  expect(pretty('id=9007199254740993')).toBe('id=9007199254740993');
});
