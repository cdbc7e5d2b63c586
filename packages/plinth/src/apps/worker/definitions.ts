import type { ModuleMap } from '#kernel/module.ts';
import type { JobDefinition, JobRun, ThreadJobDefinition } from '#kernel/work.ts';
import { faultOfBackoff, faultOfSchedule, JobFailure } from '#modules/jobs';

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

/** Whoever may enqueue jobs of a tenant could have the whole installation served as often as it likes, and read what came of it. */
function forInstallation(definition: JobDefinition): JobDefinition {
  return {
    ...definition,
    async handler(run) {
      if (run.tenantId === undefined) return definition.handler(run);
      throw new JobFailure(`jobs of kind ${run.kind} serve the whole installation and are not run for a tenant`, { final: true });
    },
  };
}

const isCount = (value: number | undefined): boolean => value === undefined || (Number.isInteger(value) && value >= 1 && value <= 1000);

/** A definition that the database would refuse: no job runs before it knows them all, and no schedule of this process is made when one is not valid. */
function faultOf(kind: string, { summary, maxAttempts, maxLost, timeoutMs = 1, backoff, schedule }: Omit<JobDefinition, 'handler'>): string | undefined {
  if (typeof summary !== 'string') return 'it has no summary';
  if (!isCount(maxAttempts) || !isCount(maxLost)) return 'maxAttempts and maxLost are whole numbers from 1 to 1000';
  return timeoutMs > 0 ? (faultOfBackoff(backoff) ?? faultOfSchedule(kind, schedule)) : `timeoutMs is a number of ms above 0, not ${timeoutMs}`;
}

/** Handlers by kind, those of the cards that are enabled and one's own. Errors: an Error when two claim the same kind, or one is not valid. */
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
      const fault = faultOf(kind, definition);
      if (fault) throw new Error(`the handler for jobs of kind ${kind} is not valid: ${fault}`);
      const handled = 'thread' in definition ? inThread(definition, runModule) : definition;
      all[kind] = definition.installation ? forInstallation(handled) : handled;
    }
  }
  return all;
}
