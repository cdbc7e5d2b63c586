import type { ListMeta, Row } from '../api/types.ts';
import { isLook, rowName } from '../row-name.ts';
import { isStatusColumn, toneOf } from '../status.ts';

/** A correlation id that was seen in the newest rows, with what is known of it there. */
export interface LatestStory {
  id: string;
  title: string;
  /** Newest record. */
  at: string;
  /** Records by title of their list. */
  parts: ReadonlyMap<string, number>;
  failures: number;
}

interface Draft {
  id: string;
  title: string;
  first: string;
  /** Its title is a name of its own, and not that of a list. */
  named: boolean;
  at: string;
  parts: Map<string, number>;
  failures: number;
}

const failed = (row: Row): boolean => Object.entries(row).some(([name, value]) => isStatusColumn(name) && typeof value === 'string' && toneOf(value) === 'bad');

const shown = 12;

/** The latest stories over all lists, newest first. The oldest record that has a name names it. */
export function latestStories(metas: readonly ListMeta[], pages: readonly (readonly Row[])[]): LatestStory[] {
  const drafts = new Map<string, Draft>();
  metas.forEach((meta, index) => {
    const { correlation } = meta;
    if (correlation === null) return;
    for (const row of pages[index] ?? []) {
      const [id, at] = [row[correlation], row.created_at];
      if (typeof id !== 'string' || typeof at !== 'string') continue;
      const draft = drafts.get(id) ?? { id, title: '', first: '', named: false, at, parts: new Map<string, number>(), failures: 0 };
      drafts.set(id, draft);
      draft.parts.set(meta.title, (draft.parts.get(meta.title) ?? 0) + 1);
      if (failed(row)) draft.failures += 1;
      if (at > draft.at) draft.at = at;
      const name = rowName(meta, row);
      const named = name !== meta.title && !isLook(name);
      if (draft.first === '' || (named === draft.named ? at < draft.first : named)) Object.assign(draft, { first: at, title: name, named });
    }
  });
  return [...drafts.values()].sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, shown);
}
