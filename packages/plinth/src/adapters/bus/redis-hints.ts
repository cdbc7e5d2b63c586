import type { Backplane } from '#kernel/wake.ts';
import { namesIn } from './nats-hints.ts';

/** What is needed of a connection of ioredis. One that subscribes can do nothing else, so a process that hears and tells gives two. */
export interface RedisSubscriber {
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  on(event: 'message', listener: (channel: string, message: string) => void): unknown;
  off(event: 'message', listener: (channel: string, message: string) => void): unknown;
}

const CHANNEL = 'plinth:hints';

/** Hands hints of this process to Redis: `plinth.wake.carry(redisCarrier(publisher))`. */
export const redisCarrier =
  (publisher: { publish(channel: string, message: string): Promise<unknown> }, channel = CHANNEL) =>
  (names: readonly string[]) =>
    publisher.publish(channel, JSON.stringify(names));

/** Hears hints from Redis (publish/subscribe). The client connects and subscribes again by itself; what it misses meanwhile is polled. */
export function redisBackplane(subscriber: RedisSubscriber, channel = CHANNEL): Backplane {
  return {
    listen(onHint, log) {
      const heard = (from: string, message: string): void => {
        if (from === channel) for (const name of namesIn(message)) onHint(name);
      };
      subscriber.on('message', heard);
      subscriber.subscribe(channel).catch((error: unknown) => log.warn({ err: error }, 'hints from Redis cannot be heard'));
      return () => {
        subscriber.off('message', heard);
        subscriber.unsubscribe(channel).catch(() => {});
      };
    },
  };
}
