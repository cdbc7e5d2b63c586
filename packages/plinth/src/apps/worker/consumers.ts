import { consumeOnce, FEED_SIGNAL } from '#kernel/feed.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';

export interface ConsumersOptions {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  pollMs: number;
  stats: WorkerStats;
  metrics: WorkerMetrics;
}

/** Runs the readers of the event feed that the cards name, one loop each. The cursors decide who reads what among processes. */
export function startConsumers(options: ConsumersOptions): Loop[] {
  const { plinth, services, stats, metrics } = options;
  const cards = Object.values(plinth.modules);
  if (!cards.some((card) => card.feed)) return [];
  return cards
    .filter((card) => services.enabled(card.name))
    .flatMap((card) =>
      Object.entries(card.consumers ?? {}).map(([name, consumer]) => {
        const fullName = `${card.name}.${name}`;
        return startLoop({
          name: `consumer ${fullName}`,
          log: services.log,
          wake: plinth.wake,
          signals: [FEED_SIGNAL],
          async turn() {
            const handled = await consumeOnce(plinth, fullName, consumer);
            if (handled === 0) return options.pollMs * (0.75 + Math.random() / 2);
            stats.eventsConsumed += handled;
            metrics.consumed.add(handled, { consumer: fullName });
            return 0;
          },
        });
      }),
    );
}
