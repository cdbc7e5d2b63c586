import { systemClock } from '#kernel/clock.ts';
import type { LogOptions } from '#kernel/log.ts';
import { createLog } from '#kernel/log.ts';
import type { WorkServices } from '#kernel/work.ts';

/** Services of a process with the defaults of production: the system's clock and a log on standard error. */
export const createServices = (options: { log?: LogOptions; adapters?: Record<string, unknown> } = {}): WorkServices => ({
  clock: systemClock,
  log: createLog(options.log),
  adapters: options.adapters ?? {},
  enabled: () => true,
});
