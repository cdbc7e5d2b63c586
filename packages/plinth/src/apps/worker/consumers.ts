import { consumeOnce, consumeParked, FEED_SIGNAL } from '#kernel/feed.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { consumersOf, declareProjections } from '#kernel/projection.ts';
import type { Consumer, WorkServices } from '#kernel/work.ts';
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

/** How often a consumer is asked for parked events that somebody wants to be tried again, ms. */
const PARKED_EVERY_MS = 2_000;
const HOUR_MS = 3_600_000;

/** Runs the readers of the event feed that the cards name, one loop each. The cursors decide who reads what among processes. */
export function startConsumers(options: ConsumersOptions): Loop[] {
  const cards = Object.values(options.plinth.modules);
  if (!cards.some((card) => card.feed)) return [];
  const consumers = cards
    .filter((card) => options.services.enabled(card.name))
    .flatMap((card) =>
      Object.entries(consumersOf(card)).map(([name, consumer]) => startConsumer(options, `${card.name}.${name}`, declared(options.plinth, consumer))),
    );
  return [...consumers, declaring(options)];
}

/** Before the first event is handled, while it can still be seen that the tables of a projection are new. */
function declared(plinth: Plinth<ModuleMap>, consumer: Consumer): Consumer {
  let known = false;
  return {
    ...consumer,
    async handle(tx, events) {
      if (!known) await declareProjections(plinth);
      known = true;
      await consumer.handle(tx, events);
    },
  };
}

/** Says which projections this process has; tried again while their tables are not there yet. */
const declaring = ({ plinth, services }: ConsumersOptions): Loop =>
  startLoop({
    name: 'projections',
    log: services.log,
    wake: plinth.wake,
    async turn() {
      await declareProjections(plinth);
      return HOUR_MS;
    },
  });

/** Runs one reader of the event feed, and tries its parked events again when somebody wants that. */
export function startConsumer(options: ConsumersOptions, name: string, consumer: Consumer): Loop {
  const { plinth, services, stats, metrics } = options;
  let lookedMs = Number.NEGATIVE_INFINITY;
  const parked = async (): Promise<number> => {
    if (performance.now() - lookedMs < PARKED_EVERY_MS) return 0;
    lookedMs = performance.now();
    return consumeParked(plinth, name, consumer);
  };
  return startLoop({
    name: `consumer ${name}`,
    log: services.log,
    wake: plinth.wake,
    signals: [FEED_SIGNAL],
    async turn() {
      const handled = (await parked()) + (await consumeOnce(plinth, name, consumer));
      if (handled === 0) return options.pollMs * (0.75 + Math.random() / 2);
      stats.eventsConsumed += handled;
      metrics.consumed.add(handled, { consumer: name });
      return 0;
    },
  });
}
