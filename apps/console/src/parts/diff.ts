/** What changed between two JSON values, leaf by leaf, in the order of the keys. */
export interface Change {
  path: string;
  before?: unknown;
  after?: unknown;
  kind: 'added' | 'removed' | 'changed';
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const walk = (before: unknown, after: unknown, path: string, found: { changes: Change[]; same: number }): void => {
  if (isObject(before) && isObject(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    for (const key of keys) {
      const inner = path === '' ? key : `${path}.${key}`;
      if (!(key in before)) found.changes.push({ path: inner, after: after[key], kind: 'added' });
      else if (!(key in after)) found.changes.push({ path: inner, before: before[key], kind: 'removed' });
      else walk(before[key], after[key], inner, found);
    }
    return;
  }
  if (same(before, after)) found.same += 1;
  else found.changes.push({ path: path === '' ? 'value' : path, before, after, kind: 'changed' });
};

/** Either side may be null: then everything was added or removed. `same` counts the fields that stayed. */
export function diff(before: unknown, after: unknown): { changes: Change[]; same: number } {
  const found = { changes: [] as Change[], same: 0 };
  walk(before ?? {}, after ?? {}, '', found);
  return found;
}
