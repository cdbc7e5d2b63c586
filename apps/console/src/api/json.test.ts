import { expect, test } from 'vitest';
import { parseJson, rawNumber } from './json.ts';

test('integers beyond 2^53 keep every digit, on screen and when copied', () => {
  const value = parseJson('{"position":9007199254740993,"small":7,"part":0.1}') as { position: unknown; small: unknown; part: unknown };
  expect(rawNumber(value.position)).toBe('9007199254740993');
  expect(value.small).toBe(7);
  expect(value.part).toBe(0.1);
  expect(JSON.stringify(value)).toBe('{"position":9007199254740993,"small":7,"part":0.1}');
});
