import { metrics } from '@opentelemetry/api';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { QueueDepth } from '#modules/jobs';
import { queueDepths } from '#modules/jobs';

/** Names of queues are made by callers; a metric has at most so many series. */
const MOST_QUEUES = 100;
/** Several scrapers, or an eager one, cost no more than one that comes so often. */
const FRESH_MS = 1_000;
const LONGEST_MS = 2_000;

/** Gauges of the queues, read from the database when the metrics of this process are. Call it once a meter provider is registered. */
export function observeQueues(plinth: Plinth<ModuleMap>, log: WorkServices['log']): void {
  if (!plinth.modules.jobs) return;
  const meter = metrics.getMeter('plinth.server');
  const depth = meter.createObservableGauge('plinth_queue_depth', {
    description: 'Jobs that may start now, by queue, of the deepest 100; at most 1,000 of each priority and tenant are counted',
  });
  const wait = meter.createObservableGauge('plinth_queue_oldest_wait', {
    description: 'Since when the oldest job that may start has waited, by queue',
    unit: 's',
  });
  let readMs = Number.NEGATIVE_INFINITY;
  let depths: readonly QueueDepth[] = [];
  const read = async (): Promise<void> => {
    if (performance.now() - readMs < FRESH_MS) return;
    try {
      depths = await plinth.asWorker({ readOnly: true, timeoutMs: LONGEST_MS }, (tx) => queueDepths(tx, MOST_QUEUES));
    } catch (error) {
      // No answer is better than an old one: an alert on absence fires.
      depths = [];
      log.warn({ error }, 'the depths of the queues could not be read');
    }
    readMs = performance.now();
  };
  meter.addBatchObservableCallback(
    async (result) => {
      await read();
      for (const { queue, waiting, oldest_wait_ms } of depths) {
        result.observe(depth, waiting, { queue });
        result.observe(wait, oldest_wait_ms / 1000, { queue });
      }
    },
    [depth, wait],
  );
}
