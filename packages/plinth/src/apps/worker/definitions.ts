import type { ModuleMap } from '#kernel/module.ts';
import type { JobDefinition, JobRun, ThreadJobDefinition } from '#kernel/work.ts';

/** Runs the default export of a module with what a thread may have of a run. */
export type RunModule = (module: URL, run: JobRun) => Promise<unknown>;

/** A job whose handler is a module, as one whose handler is a function. */
function inThread({ thread, finish, ...definition }: ThreadJobDefinition, runModule: RunModule): JobDefinition {
  return {
    ...definition,
    async handler(run) {
      const result = await runModule(thread, run);
      return finish ? finish(run, result) : result;
    },
  };
}

/** Handlers by kind, those of the cards that are enabled and one's own. Errors: an Error when two claim the same kind. */
export function definitionsOf(
  modules: ModuleMap,
  enabled: (name: string) => boolean,
  own: Record<string, JobDefinition | ThreadJobDefinition>,
  runModule: RunModule,
): Record<string, JobDefinition> {
  const all: Record<string, JobDefinition> = {};
  const sources = [...Object.values(modules).flatMap((card) => (enabled(card.name) && card.jobs ? [card.jobs] : [])), own];
  for (const source of sources) {
    for (const [kind, definition] of Object.entries(source)) {
      if (all[kind]) throw new Error(`two handlers for jobs of kind ${kind}`);
      all[kind] = 'thread' in definition ? inThread(definition, runModule) : definition;
    }
  }
  return all;
}
