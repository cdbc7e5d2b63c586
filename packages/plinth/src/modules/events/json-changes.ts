/** One value that differs between two JSON values. A side on which there is nothing lacks its member. */
export interface JsonChange {
  /** JSON pointer (RFC 6901): '' is the whole value, '/lines/0/count' a part. */
  path: string;
  before?: unknown;
  after?: unknown;
}

const isContainer = (value: unknown): value is Record<string, unknown> | unknown[] => typeof value === 'object' && value !== null;
const pointer = (key: string): string => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/**
 * The smallest parts in which two JSON values differ, in the order of their keys. Elements of arrays are compared by place. Members that are
 * undefined count as absent, as they do in JSON.
 */
export function jsonChanges(before: unknown, after: unknown, path = ''): JsonChange[] {
  if (Object.is(before, after) || before === after) return [];
  if (!isContainer(before) || !isContainer(after) || Array.isArray(before) !== Array.isArray(after))
    return [{ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) }];
  const one = new Map(Object.entries(before));
  const other = new Map(Object.entries(after));
  const keys = new Set([...one.keys(), ...other.keys()]);
  return [...keys].flatMap((key) => jsonChanges(one.get(key), other.get(key), `${path}${pointer(key)}`));
}

/** True for what JSON can hold and give back as it was: no dates, maps, bigints, infinite numbers or class instances. */
export function isJson(value: unknown, depth = 0): boolean {
  if (value === null || typeof value === 'boolean') return true;
  // jsonb stores neither NUL nor half a surrogate pair.
  if (typeof value === 'string') return !value.includes('\0') && value.isWellFormed();
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || depth > 200) return false;
  if (Array.isArray(value)) return value.every((item) => isJson(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return Object.entries(value).every(([key, item]) => isJson(key) && (item === undefined || isJson(item, depth + 1)));
}
