/** Valid inputs for procedures and SQL functions that nobody described, and one of their fields replaced by a value of somebody else. */
import type { z } from 'zod';

export const pickSome = <T>(random: () => number, from: readonly T[], most: number): T[] => {
  const rest = [...from];
  const picked: T[] = [];
  while (picked.length < most && rest.length > 0) picked.push(...rest.splice(Math.floor(random() * rest.length), 1));
  return picked;
};

let made = 0;
const fresh = (): string => `fresh${++made}`;

/** Texts that the schemas of procedures may want, simplest first. Each call makes them anew, so that nothing collides with an earlier call. */
const texts = (): unknown[] => [
  fresh(),
  `${fresh()}.happened`,
  'audit.read',
  crypto.randomUUID(),
  `${fresh()}@example.org`,
  `https://example.org/${fresh()}`,
  '2030-01-31T12:00:00Z',
  '*/5 * * * *',
  '30 days',
  'UTC',
  'de-CH',
  'order.*',
  '1',
];
const others = (): unknown[] => [1, 0, 5, true, {}, [], [fresh()], ['audit.read'], [`${fresh()}.*`], { type: 'object' }, { a: 1 }, null, 100, 3600];

type Schema = z.core.$ZodType;
type Definition = {
  type: string;
  shape?: Record<string, Schema>;
  innerType?: Schema;
  in?: Schema;
  element?: Schema;
  options?: Schema[];
  entries?: Record<string, unknown>;
  values?: unknown[];
};
const definitionOf = (schema: Schema): Definition => (schema as unknown as { _zod: { def: Definition } })._zod.def;
const accepts = (schema: Schema, value: unknown): boolean =>
  (schema as unknown as { safeParse(value: unknown): { success: boolean } }).safeParse(value).success;

/** The fields of an object schema below what wraps it; undefined when it is none. */
export function fieldsOf(schema: Schema): Record<string, Schema> | undefined {
  const { shape, innerType, in: input } = definitionOf(schema);
  if (shape) return shape;
  const inner = innerType ?? input;
  return inner ? fieldsOf(inner) : undefined;
}

const valueFor = (schema: Schema): unknown => {
  if (accepts(schema, undefined)) return undefined;
  const { entries, values, element } = definitionOf(schema);
  if (entries || values) return Object.values(entries ?? {})[0] ?? values?.[0];
  const found = [...texts(), ...others()].find((value) => accepts(schema, value));
  if (found !== undefined) return found;
  const item = element && valueFor(element);
  if (item !== undefined) return [item];
  const fields = fieldsOf(schema);
  return fields ? Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueFor(field)])) : undefined;
};

/** A valid input, with fresh values; undefined when none was found. */
export function inputFor(schema: Schema): Record<string, unknown> | undefined {
  const fields = Object.entries(fieldsOf(schema) ?? {});
  const plain = Object.fromEntries(fields.map(([name, field]) => [name, valueFor(field)]));
  if (accepts(schema, plain)) return plain;
  // Some objects want one of their optional fields, which only the whole object knows.
  for (const [name, field] of fields) {
    for (const value of [...texts(), ...others()]) {
      const candidate = { ...plain, [name]: value };
      if (accepts(field, value) && accepts(schema, candidate)) return candidate;
    }
  }
  return undefined;
}

/** What ids, names and words look like. */
const IDENTIFIERS = ['fresh0', 'fresh0.happened', 'a0000000-0000-4000-8000-000000000000'];

/** A place in an input where a text or an id can stand, however deep. */
export interface Place {
  /** The field of the input that it is in. */
  field: string;
  /** The name next to it. */
  name: string;
  /** That field with this value in the place, and valid values beside it. */
  holding(value: string): unknown;
}

/** Texts and ids of an input, those in its lists and objects too: what somebody else's can be put into. */
export const placesIn = (schema: Schema): Place[] =>
  Object.entries(fieldsOf(schema) ?? {}).flatMap(([field, inner]) => placesOf(inner, field).map((place) => ({ ...place, field })));

function placesOf(schema: Schema, name: string): Omit<Place, 'field'>[] {
  if (IDENTIFIERS.some((text) => accepts(schema, text))) return [{ name, holding: (value) => value }];
  const { element, shape, options, innerType, in: input } = definitionOf(schema);
  if (element) return placesOf(element, name).map((place) => ({ ...place, holding: (value) => [place.holding(value)] }));
  if (options) return options.flatMap((option) => placesOf(option, name));
  if (!shape) return innerType || input ? placesOf((innerType ?? input) as Schema, name) : [];
  return Object.entries(shape).flatMap(([field, inner]) =>
    placesOf(inner, field).map((place) => ({ ...place, holding: (value) => ({ ...inputFor(schema), [field]: place.holding(value) }) })),
  );
}

/** A value of another type than the schema takes; undefined when it takes all of them. */
export const wrongFor = (schema: Schema): unknown => [{ wrong: 1 }, [[]], 'wrong', 1.5, true].find((value) => !accepts(schema, value));

export const fits = (schema: Schema, input: Record<string, unknown>): boolean => accepts(schema, input);

/** A value like this one that nobody has: same form, same time in a uuid, so that it takes the same way through the database. */
export function missingLike(value: string, random: () => number): string {
  const hex = (count: number): string => Array.from({ length: count }, () => Math.floor(random() * 16).toString(16)).join('');
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(value)) return value.slice(0, 24) + hex(12);
  return value.length > 8 ? value.slice(0, -8) + hex(8) : `${value}${hex(8)}`;
}

/** An answer without what may differ between two calls: ids, times, counters, secrets and the values that were sent, which may be words of our own sentences too. */
export const normalised = (text: string, ...sent: string[]): string =>
  sent
    .reduce((rest, one) => rest.replaceAll(JSON.stringify(one).slice(1, -1), '<sent>').replaceAll(encodeURIComponent(one), '<sent>'), text)
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>')
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?/g, '<time>')
    .replaceAll(/plk_\w+|whsec_[\w+/=]+|eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<secret>')
    .replaceAll(/"(prefix|last4)":"[^"]*"/g, '"$1":"<label>"')
    .replaceAll(/fresh\d+/g, '<fresh>')
    .replaceAll(/\b\d{2,}\b/g, '<number>');
