import { fail } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { consumersOf, projectionsOf } from '#kernel/projection.ts';
import { rebuildConsumer } from '#kernel/projection-rebuild.ts';
import type { Consumer } from '#kernel/work.ts';
import type { ConsumersOptions } from './consumers.ts';
import { startConsumer } from './consumers.ts';
import type { Loop } from './loop.ts';
import type { RelayOptions } from './relay.ts';

/** Names of consumers in use: those of the cards, what rebuilds their projections, and the relays of this worker. */
function takenNames(modules: ModuleMap, relay: RelayOptions): Set<string> {
  const projections = [...projectionsOf(modules).keys()];
  return new Set([
    ...Object.values(modules).flatMap((card) => Object.keys(consumersOf(card)).map((name) => `${card.name}.${name}`)),
    ...projections,
    ...projections.map(rebuildConsumer),
    ...(relay.nats ? ['relay.nats'] : []),
    ...(relay.redis ? ['relay.redis'] : []),
  ]);
}

/** Errors: kernel_consumer_taken when one of these names is in use. */
export function refuseTaken(modules: ModuleMap, own: Record<string, Consumer>, relay: RelayOptions = {}): void {
  const taken = takenNames(modules, relay);
  const [name] = Object.keys(own).filter((one) => taken.has(one));
  if (name !== undefined) throw fail('consumer_taken', { message: `There is a consumer or projection ${name} already` });
}

/** A loop for each consumer that the program brings itself, under its own name. */
export const startOwnConsumers = (options: ConsumersOptions, own: Record<string, Consumer>): Loop[] =>
  Object.entries(own).map(([name, consumer]) => startConsumer(options, name, consumer));
