/**
 * Workers for a test file: silent, stopped after each test. They run the handlers of the test and none of the cards', whose schedules are due at some time of the
 * day: a worker that had one more job then would be counted wrong.
 */
import { afterEach } from 'vitest';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import type { Plinth, Tx } from '../../index.ts';
import type { Worker, WorkerOptions } from './index.ts';
import { startWorker } from './index.ts';

type Options = Omit<Partial<WorkerOptions<Plinth['modules']>>, 'plinth' | 'handlers'> & {
  definition?: Partial<JobDefinition<Tx>>;
  /** Handlers of other kinds. */
  others?: WorkerOptions<Plinth['modules']>['handlers'];
};

const log: WorkServices['log'] = { info: () => {}, warn: () => {}, error: () => {} };

/** Starts workers with a handler for the kind `k`. */
export function workersOf(database: () => TestDatabase): (handler: JobDefinition<Tx>['handler'], options?: Options) => Worker {
  const started: Worker[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((worker) => worker.stop({ graceMs: 0 })));
  });
  return (handler, { definition, others, ...options } = {}) => {
    const { plinth } = database();
    const services: Partial<WorkServices> = { log, enabled: () => false };
    const worker = startWorker({
      plinth,
      services,
      pollMs: 100,
      listen: false,
      handlers: { k: { summary: 'test', handler, ...definition }, ...others },
      ...options,
    });
    started.push(worker);
    return worker;
  };
}
