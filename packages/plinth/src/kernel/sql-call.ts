import type { Queryable } from './database.ts';

/** A span of time as pg hands it over, `{ days: 2, hours: 3 }`; given to a function, text does as well: `2 days 3 hours`. */
export interface Interval {
  years?: number;
  months?: number;
  days?: number;
  hours?: number;
  minutes?: number;
  seconds?: number;
  milliseconds?: number;
  toPostgres(): string;
  toISOString(): string;
}

type Shape = 'rows' | 'one' | 'values' | 'value';

/** What the driver cannot know: arrays are SQL arrays unless the parameter is json, and a bigint travels as text. */
const encode = (value: unknown, sqlType: string): unknown => {
  if (value === null) return null;
  if (sqlType === 'json' || sqlType === 'jsonb') return JSON.stringify(value);
  return typeof value === 'bigint' ? value.toString() : value;
};

/**
 * Calls an SQL function with named arguments; those left out keep the function's own defaults. The typed wrappers of
 * db.gen.ts stand on it. `map`: argument -> [parameter, SQL type]. Errors: whatever the function raises.
 */
export async function call(
  tx: Queryable,
  name: string,
  map: Record<string, readonly [parameter: string, sqlType: string]>,
  args: Record<string, unknown>,
  shape: Shape,
): Promise<unknown> {
  const given = Object.entries(map).filter(([argument]) => args[argument] !== undefined);
  const list = given.map(([, [parameter, sqlType]], index) => `${parameter} => $${index + 1}::${sqlType}`);
  const values = given.map(([argument, [, sqlType]]) => encode(args[argument], sqlType));
  if (shape === 'rows' || shape === 'one') {
    const rows = await tx.query(`select * from ${name}(${list.join(', ')})`, values);
    return shape === 'rows' ? rows : rows[0];
  }
  const rows = await tx.query<{ value: unknown }>(`select ${name}(${list.join(', ')}) as value`, values);
  if (shape === 'values') return rows.map((row) => row.value);
  // A void function answers with an empty text.
  return rows[0]?.value === '' ? undefined : rows[0]?.value;
}
