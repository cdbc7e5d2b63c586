import { metrics } from '@opentelemetry/api';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import { createReadings } from './readings.ts';

const FRESH_MS = 1_000;
const LONGEST_MS = 2_000;

interface Lag {
  consumer: string;
  waiting: number;
  lag_s: number;
  failing: number;
  paused: number;
  parked: number;
}

const LAGS = `select consumer, waiting::int, lag_s, cardinality(failing_shards) as failing, (paused_at is not null)::int as paused, parked::int from plinth.consumers order by consumer limit 200`;

/** Gauges of the consumers of the feed, read from the database when the metrics of this process are. Call it once a meter provider is registered. */
export function observeConsumers(plinth: Plinth<ModuleMap>, log: WorkServices['log']): void {
  if (!plinth.modules.events) return;
  const meter = metrics.getMeter('plinth.server');
  const gauges = {
    waiting: meter.createObservableGauge('plinth_consumer_waiting', {
      description: 'Events that a consumer has not handled; at most 1,000 of each of 8 shards are counted, and of those that were put aside',
    }),
    lag_s: meter.createObservableGauge('plinth_consumer_lag', { description: 'Age of the oldest event that a consumer has not handled', unit: 's' }),
    failing: meter.createObservableGauge('plinth_consumer_failing_shards', { description: 'Shards with an event that the consumer fails on' }),
    paused: meter.createObservableGauge('plinth_consumer_paused', { description: '1 while a consumer is paused' }),
    parked: meter.createObservableGauge('plinth_consumer_parked', {
      description: 'Events of a consumer that were put aside and wait for somebody; at most 1,000',
    }),
  };
  const lags = createReadings<Lag>({
    read: () => plinth.asReader({ timeoutMs: LONGEST_MS }, (tx) => tx.query<Lag>(LAGS)),
    freshMs: FRESH_MS,
    onFailure: (error) => log.warn({ err: error }, 'the lag of the consumers could not be read'),
  });
  meter.addBatchObservableCallback(async (result) => {
    for (const { consumer, ...values } of await lags())
      for (const [name, gauge] of Object.entries(gauges)) result.observe(gauge, values[name as keyof typeof values], { consumer });
  }, Object.values(gauges));
}
