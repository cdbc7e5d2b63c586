import { setTimeout } from 'node:timers/promises';
import { fail } from '#kernel/errors.ts';
import type { Backplane, Wake } from '#kernel/wake.ts';
import type { NatsConnection } from './nats-hints.ts';
import { natsBackplane, natsCarrier } from './nats-hints.ts';
import { redisBackplane, redisCarrier } from './redis-hints.ts';

/** A bus that carries hints between processes, over connections of its own. */
export interface HintBus {
  backplane: Backplane;
  carry: Parameters<Wake['carry']>[0];
  /** Resolves when the bus has answered; rejects when it does not within `limitMs`. */
  reached(limitMs: number): Promise<void>;
  close(): Promise<void>;
}

interface Log {
  warn(fields: object, message: string): void;
}

const RETRY_MS = 1_000;

const missing = (name: string, cause: unknown) =>
  fail('unavailable', { message: `Hints over ${name} need its client, which is not installed`, wayOut: `npm install ${name}.`, cause });

const inTime = <T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> => {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const answered = new AbortController();
  setTimeout(limitMs, undefined, { signal: answered.signal }).then(
    () => reject(new Error(`${what} does not answer within ${limitMs} ms`)),
    () => {},
  );
  return Promise.race([promise, late]).finally(() => answered.abort());
};

/**
 * Opens the bus at a URL, `nats://` or `redis://` (`tls://`, `rediss://` with TLS). One that is down holds nothing up: it is tried again every second, and until
 * then what other processes did is found by polling. Errors: kernel_unavailable when the client is not installed.
 */
export const openHintBus = (url: string, log: Log): Promise<HintBus> => (/^rediss?:/.test(url) ? openRedis(url, log) : openNats(url, log));

async function openNats(url: string, log: Log): Promise<HintBus> {
  const { connect } = await import('@nats-io/transport-node').catch((cause: unknown) => {
    throw missing('@nats-io/transport-node', cause);
  });
  const closed = new AbortController();
  const attempts = async () => {
    for (let nth = 0; ; nth++) {
      try {
        return await connect({ servers: url.split(','), name: 'plinth hints', maxReconnectAttempts: -1, reconnectTimeWait: RETRY_MS });
      } catch (error) {
        // Once for an outage, not once a second.
        if (nth === 0) log.warn({ err: error }, 'the bus for hints is not reached, and tried again');
        await setTimeout(RETRY_MS, undefined, { signal: closed.signal, ref: false });
      }
    }
  };
  let open: NatsConnection | undefined;
  const connecting = attempts().then((connection) => {
    open = connection;
    return connection;
  });
  connecting.catch(() => {});
  return {
    backplane: {
      listen(onHint, listenLog) {
        const over = new AbortController();
        connecting
          .then((connection) => {
            if (over.signal.aborted) return;
            over.signal.addEventListener('abort', natsBackplane(connection).listen(onHint, listenLog));
          })
          .catch(() => {});
        return () => over.abort();
      },
    },
    carry: async (names) => {
      if (open && !closed.signal.aborted) await natsCarrier(open)(names);
    },
    reached: (limitMs) =>
      inTime(
        connecting.then((connection) => connection.flush()),
        limitMs,
        'NATS',
      ),
    async close() {
      closed.abort();
      if (open) await (await connecting).close();
    },
  };
}

async function openRedis(url: string, log: Log): Promise<HintBus> {
  const { Redis } = await import('ioredis').catch((cause: unknown) => {
    throw missing('ioredis', cause);
  });
  const options = { retryStrategy: () => RETRY_MS, connectionName: 'plinth hints' };
  const [publisher, subscriber] = [
    new Redis(url, { ...options, enableOfflineQueue: false, maxRetriesPerRequest: 0 }),
    new Redis(url, { ...options, maxRetriesPerRequest: null }),
  ];
  let told = false;
  const ready = new Promise<void>((resolve) => publisher.once('ready', () => resolve()));
  for (const client of [publisher, subscriber])
    client.on('error', (error: Error) => {
      // Once for an outage, not once a second.
      if (!told) log.warn({ err: error }, 'the bus for hints is not reached, and tried again');
      told = true;
    });
  publisher.on('ready', () => {
    told = false;
  });
  return {
    backplane: redisBackplane(subscriber),
    carry: (names) => redisCarrier(publisher)(names),
    reached: (limitMs) => inTime(ready, limitMs, 'Redis'),
    async close() {
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}
