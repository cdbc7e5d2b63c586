/** What a driver's connection knows of the types of columns. */
export interface Parsers {
  getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown;
}

/** A timestamptz as ISO DateStyle writes it: 10000-01-01 00:00:00.5+05:53:28 BC. */
const TIME = /^(\d+)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+)?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?( BC)?$/;

const ENDLESS: Readonly<Record<string, number>> = { infinity: Number.POSITIVE_INFINITY, '-infinity': Number.NEGATIVE_INFINITY };

/** The driver's own reading: a Date, Infinity for `infinity`, and null for another DateStyle. */
export function readTime(text: string): Date | number | null {
  const found = TIME.exec(text);
  if (!found) return ENDLESS[text] ?? null;
  const [, years, month, day, hours, minutes, seconds, fraction, sign, awayH, awayM = 0, awayS = 0, before] = found;
  const year = before ? 1 - Number(years) : Number(years);
  const ms = fraction === undefined ? 0 : 1000 * Number(fraction);
  const date = new Date(Date.UTC(year, Number(month) - 1, Number(day), Number(hours), Number(minutes), Number(seconds), ms));
  // To Date.UTC these are years of the last century.
  if (year >= 0 && year < 100) date.setUTCFullYear(year);
  const awayMs = (Number(awayH) * 3600 + Number(awayM) * 60 + Number(awayS)) * 1000;
  if (awayMs !== 0) date.setTime(date.getTime() - (sign === '-' ? -awayMs : awayMs));
  return date;
}

/**
 * How what Plinth reads is read, by OID: bigint, numeric, timestamptz, json, jsonb. As the driver does by itself; but many a program tells it otherwise for its whole process
 * (`pg.types.setTypeParser(20, Number)`, parseInt8 of TypeORM), and consumers would stop where a bigint is rounded.
 */
export const COLUMN_TYPES: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [20, String],
  [1700, String],
  [1184, readTime],
  [114, JSON.parse],
  [3802, JSON.parse],
]);

/** The same for one query over a connection of others, which keeps its own reading of everything else. */
export const columnTypes = (client: Parsers): Parsers => ({
  getTypeParser: (oid, format) => (format === 'binary' ? undefined : COLUMN_TYPES.get(oid)) ?? client.getTypeParser(oid, format),
});
