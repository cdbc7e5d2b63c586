import type { Parsers } from './column-types.ts';

/** What JavaScript can do with JSON since Node 21; the type library does not have it yet. */
const { rawJSON, isRawJSON } = JSON as typeof JSON & { rawJSON(text: string): object; isRawJSON(value: unknown): value is { rawJSON: string } };

/** Digits that a number may lose are 16 and more, with a point among them or without. All other text takes the quick way. */
const LONG = /[\d.]{16}/;

const keepDigits = (_name: string, value: unknown, context?: { source?: string }): unknown => {
  const source = context?.source;
  if (typeof value !== 'number' || source === undefined || source.length < 16 || String(value) === source) return value;
  // Written out, a few characters such as 1.00000000000001e99999 would be a hundred thousand digits.
  return Number.isFinite(value) || !/e/i.test(source) ? rawJSON(source) : value;
};

/**
 * JSON in which a number that JavaScript would round (9007199254740993) is raw JSON: an opaque object, which JSON.stringify writes digit by digit and
 * which cannot be reckoned with. For what is only passed on. Throws what JSON.parse throws.
 */
export const parseExactJson = (text: string): unknown => (LONG.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text));

/** The digits of a number that parseExactJson kept as raw JSON; undefined for any other value. Who walks through JSON must leave such a number whole. */
export const exactDigits = (value: unknown): string | undefined => (isRawJSON(value) ? value.rawJSON : undefined);

/** OIDs of json and jsonb. */
const isJson = (oid: number): boolean => oid === 114 || oid === 3802;

/** The driver's parsers of column types, with exact JSON among them. */
export const exactTypes = (client: Parsers): Parsers => ({
  getTypeParser: (oid, format) => (isJson(oid) && format !== 'binary' ? parseExactJson : client.getTypeParser(oid, format)),
});
