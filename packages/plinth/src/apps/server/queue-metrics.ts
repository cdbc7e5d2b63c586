import { metrics } from '@opentelemetry/api';
import type { Queryable } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import { queueDepths } from '#modules/jobs';
import { messageDepths } from '#modules/queue';
import { createReadings } from './readings.ts';

/** Names of queues are made by callers; a metric has at most so many series. */
const MOST_QUEUES = 100;
const FRESH_MS = 1_000;
const LONGEST_MS = 2_000;

interface Depth {
  queue: string;
  waiting: number;
  oldest_wait_ms: number;
}

interface Observed {
  /** Of the two gauges: `<name>_depth` and `<name>_oldest_wait`. */
  name: string;
  depth: string;
  wait: string;
  read: (tx: Queryable, limit: number) => Promise<Depth[]>;
}

const OBSERVED: Readonly<Record<'jobs' | 'queue', Observed>> = {
  jobs: {
    name: 'plinth_queue',
    depth: 'Jobs that may start now, by queue, of 100 that are deep or wait long; at most 1,000 of each priority and tenant are counted, of 5,000 tenants',
    wait: 'Since when the oldest job that may start has waited, by queue',
    read: queueDepths,
  },
  queue: {
    name: 'plinth_message_queue',
    depth: 'Messages that may be received, by queue, of 100 that are deep or wait long; at most 1,000 of each tenant are counted',
    wait: 'Since when the first message that may be received has waited, by queue',
    read: messageDepths,
  },
};

/** Gauges of the queues, read from the database when the metrics of this process are. Call it once a meter provider is registered. */
export function observeQueues(plinth: Plinth<ModuleMap>, log: WorkServices['log']): void {
  for (const [module, observed] of Object.entries(OBSERVED)) if (plinth.modules[module]) observe(plinth, log, observed);
}

function observe(plinth: Plinth<ModuleMap>, log: WorkServices['log'], observed: Observed): void {
  const meter = metrics.getMeter('plinth.server');
  const depth = meter.createObservableGauge(`${observed.name}_depth`, { description: observed.depth });
  const wait = meter.createObservableGauge(`${observed.name}_oldest_wait`, { description: observed.wait, unit: 's' });
  const depths = createReadings<Depth>({
    read: () => plinth.asWorker({ readOnly: true, timeoutMs: LONGEST_MS }, (tx) => observed.read(tx, MOST_QUEUES)),
    freshMs: FRESH_MS,
    onFailure: (error) => log.warn({ err: error, metrics: observed.name }, 'the depths of the queues could not be read'),
  });
  meter.addBatchObservableCallback(
    async (result) => {
      for (const { queue, waiting, oldest_wait_ms } of await depths()) {
        result.observe(depth, waiting, { queue });
        result.observe(wait, oldest_wait_ms / 1000, { queue });
      }
    },
    [depth, wait],
  );
}
