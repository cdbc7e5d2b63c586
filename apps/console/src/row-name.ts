import type { ListMeta, Row } from './api/types.ts';
import { isUuid } from './format.ts';
import { isStatusColumn } from './status.ts';

/** What a row is called: the first of its list's columns that is words and neither a state nor an id. */
export function rowName(meta: ListMeta, row: Row): string {
  for (const { name, type } of meta.columns) {
    const value = row[name];
    if (type === 'text' && !isStatusColumn(name) && typeof value === 'string' && value !== '' && !isUuid(value)) return value;
  }
  return meta.title;
}
