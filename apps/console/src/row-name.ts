import type { ListMeta, Row } from './api/types.ts';
import { isUuid } from './format.ts';
import { isStatusColumn } from './status.ts';

/** Columns that say something about a row and do not name it. */
const remarks = new Set(['reason', 'scope', 'key', 'error', 'note', 'ip']);

/** What a row is called: the first of its list's columns that is words and neither a state, nor an id, nor a remark; else as its list is. */
export function rowName(meta: ListMeta, row: Row): string {
  for (const { name, type } of meta.columns) {
    const value = row[name];
    if (type === 'text' && !isStatusColumn(name) && !remarks.has(name) && typeof value === 'string' && value !== '' && !isUuid(value)) return value;
  }
  return meta.title;
}

/** An operator's look, written down before what they came for: no story is called by it as long as it holds something else. */
export const isLook = (name: string): boolean => name === 'operator.accessed';
