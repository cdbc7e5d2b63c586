import type { NatsOptions } from '#adapters/bus/nats.ts';
import { natsBus } from '#adapters/bus/nats.ts';
import type { RedisStreamsOptions } from '#adapters/bus/redis.ts';
import { redisStreamsBus } from '#adapters/bus/redis.ts';
import type { EventBus } from '#modules/events';
import { relayTo } from '#modules/events';
import type { ConsumersOptions } from './consumers.ts';
import { startConsumer } from './consumers.ts';

export interface RelayOptions {
  nats?: NatsOptions | undefined;
  redis?: RedisStreamsOptions | undefined;
  /** Where a relay that is new to a database begins. Default `beginning`: everything that is kept. */
  from?: 'beginning' | 'now' | undefined;
}

export interface Relay {
  stop(): Promise<void>;
}

/** Passes the log on to other systems, a loop and a cursor each. Any number of processes may: the cursors decide who sends what. */
export function startRelay(options: ConsumersOptions, relay: RelayOptions): Relay {
  const buses: EventBus[] = [...(relay.nats ? [natsBus(relay.nats)] : []), ...(relay.redis ? [redisStreamsBus(relay.redis)] : [])];
  const loops = buses.map((bus) => startConsumer(options, `relay.${bus.name}`, relayTo(bus, { from: relay.from })));
  return {
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
      await Promise.all(buses.map((bus) => bus.close()));
    },
  };
}
