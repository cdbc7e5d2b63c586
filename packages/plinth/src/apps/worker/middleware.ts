import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JobDefinition, JobRun } from '#kernel/work.ts';

/**
 * Goes around every attempt at a job: does something, calls `next` (once), and returns what that returned or something else. What it throws is
 * the failure of the attempt, as if the handler had thrown it; an attempt whose `next` was not called never reached its handler.
 *
 * @example
 * const timed: JobMiddleware = async (run, next) => {
 *   const startedMs = performance.now();
 *   try {
 *     return await next();
 *   } finally {
 *     run.log('took', { kind: run.kind, attempt: run.attempt, ms: performance.now() - startedMs });
 *   }
 * };
 */
export type JobMiddleware<Tx extends AnyTransaction = AnyTransaction> = (run: JobRun<Tx>, next: () => Promise<unknown>) => Promise<unknown>;

type Handler = JobDefinition['handler'];

const around = (one: JobMiddleware, inner: Handler): Handler =>
  async function attempt(run) {
    let called = false;
    return one(run, async () => {
      if (called) throw new Error(`a middleware called next twice for a job of kind ${run.kind}`);
      called = true;
      return inner(run);
    });
  };

/** The definitions with these around their handlers, the first one outermost. Without any, the very same definitions. */
export function withMiddleware(definitions: Record<string, JobDefinition>, middleware: readonly JobMiddleware[]): Record<string, JobDefinition> {
  if (middleware.length === 0) return definitions;
  return Object.fromEntries(
    Object.entries(definitions).map(([kind, one]) => [
      kind,
      { ...one, handler: middleware.reduceRight<Handler>((inner, outer) => around(outer, inner), one.handler) },
    ]),
  );
}
