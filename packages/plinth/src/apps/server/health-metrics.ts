import { metrics } from '@opentelemetry/api';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { WorkServices } from '#kernel/work.ts';
import { schedulerHealth } from '#modules/jobs';
import { maintenanceHealth } from '#modules/maintenance';
import { failingLanes } from '#modules/webhooks';
import { createReadings } from './readings.ts';

/** What it tells of changes slowly, and lanes of all tenants are counted. */
const FRESH_MS = 10_000;
const LONGEST_MS = 2_000;

interface Seen {
  gauge: keyof typeof GAUGES;
  value: number;
  labels?: Record<string, string>;
}

/** What somebody should be woken for, in docs/runbook.md; that of all tenants together, as each process sees it. */
const GAUGES = {
  plinth_workers: { description: 'Workers that give signs of life; 0: no job runs', unit: '' },
  plinth_schedule_lateness: { description: 'How late the first schedule is that should have enqueued its job', unit: 's' },
  plinth_webhook_lanes_failing: { description: 'Subscriptions whose deliveries fail, none having come through since', unit: '' },
  plinth_partitions_ahead: {
    description: 'Whole periods after now that have their partition, by kind of record; at 0 nothing can be written when this one ends',
    unit: '',
  },
  plinth_maintenance_age: { description: 'Since the daily maintenance was completed last, or since it first ran', unit: 's' },
} as const;

const READS: Readonly<Record<string, (tx: AnyTransaction) => Promise<Seen[]>>> = {
  async jobs(tx) {
    const { workers, lateS } = await schedulerHealth(tx);
    return [
      { gauge: 'plinth_workers', value: workers },
      { gauge: 'plinth_schedule_lateness', value: lateS },
    ];
  },
  webhooks: async (tx) => [{ gauge: 'plinth_webhook_lanes_failing', value: await failingLanes(tx) }],
  async maintenance(tx) {
    const { partitions, ageS } = await maintenanceHealth(tx);
    const ahead = partitions.map(({ kind, ahead: value }): Seen => ({ gauge: 'plinth_partitions_ahead', value, labels: { kind } }));
    return ageS === undefined ? ahead : [...ahead, { gauge: 'plinth_maintenance_age', value: ageS }];
  },
};

/** Gauges of the installation, read from the database when the metrics of this process are. Call it once a meter provider is registered. */
export function observeHealth(plinth: Plinth<ModuleMap>, log: WorkServices['log']): void {
  const meter = metrics.getMeter('plinth.server');
  const gauges = Object.fromEntries(Object.entries(GAUGES).map(([name, options]) => [name, meter.createObservableGauge(name, options)]));
  const reads = Object.entries(READS).filter(([module]) => plinth.modules[module]);
  const seen = createReadings<Seen>({
    read: () =>
      plinth.asReader({ timeoutMs: LONGEST_MS }, async (tx) => {
        const found: Seen[] = [];
        for (const [, of] of reads) found.push(...(await of(tx)));
        return found;
      }),
    freshMs: FRESH_MS,
    onFailure: (error) => log.warn({ err: error }, 'the state of the installation could not be read for metrics'),
  });
  meter.addBatchObservableCallback(async (result) => {
    for (const { gauge, value, labels } of await seen()) {
      const instrument = gauges[gauge];
      if (instrument) result.observe(instrument, value, labels);
    }
  }, Object.values(gauges));
}
