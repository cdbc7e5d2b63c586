import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { strictInput } from './strict-input.ts';

const inner = z.object({ kind: z.string().optional() });
const schema = z
  .object({
    filter: inner.optional(),
    list: z.array(inner).max(3).default([]),
    byName: z.record(z.string(), inner).optional(),
    either: z.union([z.string(), inner]).nullable().optional(),
    open: z.looseObject({ a: z.string() }).optional(),
    data: z.record(z.string(), z.unknown()).optional(),
  })
  .refine(({ list }) => list.length !== 2, 'two are too few or too many');
const strict = strictInput(schema);
const faultOf = (value: unknown): string[] => strict.safeParse(value).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('strictInput', () => {
  test('names a field that is not known, and those that are', () => {
    expect(faultOf({ fliter: {} })).toEqual([': there is no field fliter; it takes filter, list, byName, either, open, data']);
  });

  test.each([
    ['an optional object', { filter: { job_type: 'a' } }, 'filter'],
    ['objects of a list', { list: [{}, { job_type: 'a' }, {}] }, 'list.1'],
    ['objects by name', { byName: { a: { job_type: 'a' } } }, 'byName.a'],
  ])('looks into %s', (_, value, path) => {
    expect(faultOf(value)).toEqual([`${path}: there is no field job_type; it takes kind`]);
  });

  test('looks into the options of a union', () => {
    expect(strict.safeParse({ either: { kind: 'a' } }).success).toBe(true);
    expect(strict.safeParse({ either: { job_type: 'a' } }).success).toBe(false);
  });

  test('keeps what a schema says otherwise: defaults, checks, what is open', () => {
    expect(strict.parse({ open: { a: 'x', b: 'y' }, data: { whatever: { deep: 1 } } })).toEqual({
      list: [],
      open: { a: 'x', b: 'y' },
      data: { whatever: { deep: 1 } },
    });
    expect(faultOf({ list: [{}, {}] })).toEqual([': two are too few or too many']);
    expect(faultOf({ list: [{}, {}, {}, {}] })).toHaveLength(1);
  });

  test('leaves the schema that it was given as it is', () => {
    expect(schema.parse({ more: 1 })).toEqual({ list: [] });
  });
});
