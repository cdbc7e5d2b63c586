import type { ModuleMap } from '#kernel/module.ts';
import type { JobDefinition } from '#kernel/work.ts';

/** Handlers by kind, those of the cards that are enabled and one's own. Errors: an Error when two claim the same kind. */
export function definitionsOf(modules: ModuleMap, enabled: (name: string) => boolean, own: Record<string, JobDefinition> = {}): Record<string, JobDefinition> {
  const all: Record<string, JobDefinition> = {};
  const sources = [...Object.values(modules).flatMap((card) => (enabled(card.name) && card.jobs ? [card.jobs] : [])), own];
  for (const source of sources) {
    for (const [kind, definition] of Object.entries(source)) {
      if (all[kind]) throw new Error(`two handlers for jobs of kind ${kind}`);
      all[kind] = definition;
    }
  }
  return all;
}
