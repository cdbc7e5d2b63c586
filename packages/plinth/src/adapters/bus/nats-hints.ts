import type { Backplane } from '#kernel/wake.ts';

/** What is needed of a connection of `@nats-io/transport-node` (or any NATS client of the same shape), which stays the caller's. */
export interface NatsConnection {
  publish(subject: string, payload: string): void;
  subscribe(subject: string): AsyncIterable<{ string(): string }> & { unsubscribe(): void };
}

const SUBJECT = 'plinth.hints';

/** Hands hints of this process to NATS: `plinth.wake.carry(natsCarrier(connection))`. */
export const natsCarrier =
  (connection: Pick<NatsConnection, 'publish'>, subject = SUBJECT) =>
  async (names: readonly string[]) =>
    connection.publish(subject, JSON.stringify(names));

/** Hears hints from NATS. The client connects again by itself; what it misses meanwhile is polled. */
export function natsBackplane(connection: Pick<NatsConnection, 'subscribe'>, subject = SUBJECT): Backplane {
  return {
    listen(onHint, log) {
      const subscription = connection.subscribe(subject);
      const run = async (): Promise<void> => {
        for await (const message of subscription) for (const name of namesIn(message.string())) onHint(name);
      };
      run().catch((error: unknown) => log.warn({ err: error }, 'hints from NATS are heard no more'));
      return () => subscription.unsubscribe();
    },
  };
}

const MOST_NAMES = 100;

/** Names in a message of the bus, on which others may write as well. */
export function namesIn(text: string): string[] {
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) ? names.slice(0, MOST_NAMES).filter((name): name is string => typeof name === 'string' && name.length <= 200) : [];
  } catch {
    return [];
  }
}
