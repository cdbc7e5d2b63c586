import { consumeAside, consumeTurn, FEED_SIGNAL } from '#kernel/feed.ts';
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

/** How often a consumer is asked for what was put aside and may be tried again, ms. */
const ASIDE_EVERY_MS = 1_000;
const HOUR_MS = 3_600_000;

/** Runs the readers of the event feed that the cards name, one loop each. The cursors decide who reads what among processes. */
export function startConsumers(options: ConsumersOptions): Loop[] {
  const cards = Object.values(options.plinth.modules);
  if (!cards.some((card) => card.feed)) return [];
  const declare = declarer(options.plinth);
  const consumers = cards
    .filter((card) => options.services.enabled(card.name))
    .flatMap((card) =>
      Object.entries(consumersOf(card)).map(([name, consumer]) => startConsumer(options, `${card.name}.${name}`, declared(declare, consumer))),
    );
  return [...consumers, declaring(options, declare)];
}

/** `unless`: not again, when it was said already. */
type Declare = (unless?: 'said') => Promise<void>;

/** Says which projections this process has: that it has started with them, and from then on that it still runs, which does not outdo those that started later. */
function declarer(plinth: Plinth<ModuleMap>): Declare {
  let said = false;
  return async (unless) => {
    if (said && unless) return;
    await declareProjections(plinth, said ? 'running' : 'started');
    said = true;
  };
}

/** Before the first event is handled, while it can still be seen that the tables of a projection are new. */
const declared = (declare: Declare, consumer: Consumer): Consumer => ({
  ...consumer,
  async handle(tx, events) {
    await declare('said');
    await consumer.handle(tx, events);
  },
});

/** Tried again while the tables are not there yet. */
const declaring = ({ plinth, services }: ConsumersOptions, declare: Declare): Loop =>
  startLoop({
    name: 'projections',
    log: services.log,
    wake: plinth.wake,
    async turn() {
      await declare();
      return HOUR_MS;
    },
  });

/** Runs one reader of the event feed; and, beside it, so that neither waits for the other, what was put aside for it. */
export function startConsumer(options: ConsumersOptions, name: string, consumer: Consumer): Loop {
  const { plinth, services, stats, metrics } = options;
  const count = (handled: number): void => {
    stats.eventsConsumed += handled;
    metrics.consumed.add(handled, { consumer: name });
  };
  const shared = { log: services.log, wake: plinth.wake };
  const aside = startLoop({
    ...shared,
    name: `consumer ${name}, what was put aside`,
    async turn() {
      const { tried, handled } = await consumeAside(plinth, name, consumer);
      if (handled > 0) count(handled);
      return tried > 0 ? 0 : ASIDE_EVERY_MS * (0.75 + Math.random() / 2);
    },
  });
  const live = startLoop({
    ...shared,
    name: `consumer ${name}`,
    signals: [FEED_SIGNAL],
    async turn() {
      const { handled, failure, aside: setAside } = await consumeTurn(plinth, name, consumer);
      if (setAside) aside.nudge();
      if (failure) {
        // No failure of this loop: it is noted when the event comes again, and others can be handled now.
        const { error, text, personal } = failure;
        services.log.warn({ consumer: name, ...(personal ? { error: text } : { err: error }) }, `worker: ${name} failed on events, which it gets again`);
        aside.nudge();
        return 0;
      }
      if (handled === 0) return options.pollMs * (0.75 + Math.random() / 2);
      count(handled);
      return 0;
    },
  });
  return {
    nudge: live.nudge,
    async stop() {
      await Promise.all([live.stop(), aside.stop()]);
    },
  };
}
