import { PlinthError } from '#kernel/errors.ts';
import { refuseMissing, refuseNewer } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';

/** How often a worker that works asks whether it still may, ms. */
const AGAIN_MS = 60_000;

/**
 * The same system, whose work across tenants (claims, feeds, schedules) is refused with kernel_schema_newer on a database that a newer, incompatible version has
 * migrated, also while this process was running: it would read and write tables as they were. It goes on when the database is one it knows. Transactions of
 * handlers that run are let through. Errors: kernel_files_missing.
 */
export function whileCompatible(plinth: Plinth<ModuleMap>, againMs = AGAIN_MS): Plinth<ModuleMap> {
  refuseMissing(Object.values(plinth.modules));
  let look: ReturnType<typeof refuseNewer> | undefined;
  let goodUntil = Number.NEGATIVE_INFINITY;
  const pass = async (): Promise<void> => {
    look ??= refuseNewer(plinth.modules);
    await plinth.asWorker({ readOnly: true }, look).catch((error: unknown) => {
      // What else goes wrong is for the work itself to tell.
      if (error instanceof PlinthError && error.code === 'kernel_schema_newer') throw error;
    });
    goodUntil = performance.now() + againMs;
  };
  const first = async <T>(work: () => Promise<T>): Promise<T> => {
    if (performance.now() >= goodUntil) await pass();
    return work();
  };
  return {
    ...plinth,
    asWorker: (input, body) => first(() => plinth.asWorker(input, body)),
    lookAsWorker: (question) => first(() => plinth.lookAsWorker(question)),
  };
}
