import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { fail } from '#kernel/errors.ts';
import { messageOf } from '#kernel/thrown.ts';
import type { EventBus, RelayMessage } from '#modules/events';
import { waves } from '#modules/events';

export interface NatsOptions {
  /** `nats://localhost:4222`, or several. */
  servers: string | string[];
  /** Events go to `<prefix>.<tenant id>.<event type>`. Default `plinth.events`. */
  subjectPrefix?: string | undefined;
  /** JetStream stream that is made for the subjects when there is none of this name. Default `PLINTH_EVENTS`; null: somebody else sees to it. */
  stream?: string | null | undefined;
  /** For how long a stream that is made knows message ids, ms. Default 120,000. */
  duplicateWindowMs?: number | undefined;
  /** Longest wait for the confirmation of a message, ms. Default 10,000. */
  ackMs?: number | undefined;
  /** Credentials, TLS and the rest: `NodeConnectionOptions` of the client, which who has no relay need not have installed. */
  connection?: object | undefined;
}

interface Opened {
  connection: NatsConnection;
  client: JetStreamClient;
}

const HEADERS_BYTES = 1_024;
const NANOSECONDS = 1_000_000;
const STREAM_NOT_FOUND = 10_059;
const MESSAGE_TOO_LARGE = 10_054;

/** The optional peers. Errors: kernel_unavailable with the way to install them. */
const load = async () => {
  try {
    const [transport, jetstream] = await Promise.all([import('@nats-io/transport-node'), import('@nats-io/jetstream')]);
    return { ...transport, ...jetstream };
  } catch (cause) {
    throw fail('unavailable', {
      message: 'The relay to NATS needs the packages @nats-io/transport-node and @nats-io/jetstream',
      wayOut: 'npm install them.',
      cause,
    });
  }
};

const down = (cause: unknown, why = messageOf(cause)) => fail('unavailable', { message: `NATS did not take events: ${why}`, cause });

/** Nobody answers a message when its stream is gone; the client takes it for a server without JetStream. */
const isUnanswered = (error: unknown): error is Error => error instanceof Error && error.name === 'JetStreamNotEnabled';

/** The event was refused, and not because NATS cannot take events: it is larger than its stream takes, or its subject is full where that is said of each. */
const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && error.name === 'JetStreamApiError' && (error as { code?: unknown }).code === MESSAGE_TOO_LARGE;
const isFull = (error: unknown): boolean => error instanceof Error && /maximum messages per subject/.test(error.message);

const bytesOf = (cloudEvent: object): Uint8Array => new TextEncoder().encode(JSON.stringify(cloudEvent));

/** An event without its data, with the address that has them: the claim check of CloudEvents. */
function referenceTo({ id, cloudEvent }: RelayMessage): Uint8Array {
  const { data: _data, datacontenttype: _type, ...attributes } = cloudEvent;
  return bytesOf({ ...attributes, dataref: `/api/v1/events/${id}` });
}

const refused = ({ id }: RelayMessage, why: string) => new RangeError(`NATS does not take event ${id}: ${why}`);

/** The JetStream stream for the subjects, made when there is none. */
async function ensureStream({ connection }: Opened, name: string, subjects: string[], duplicateWindowMs: number): Promise<void> {
  const { jetstreamManager } = await load();
  const manager = await jetstreamManager(connection);
  await manager.streams.info(name).catch(async (error: unknown) => {
    if ((error as { code?: number }).code !== STREAM_NOT_FOUND) throw error;
    await manager.streams.add({ name, subjects, duplicate_window: duplicateWindowMs * NANOSECONDS });
  });
}

/**
 * Publishes events to NATS JetStream as structured CloudEvents, with `Nats-Msg-Id` = event id, and waits for each confirmation. Connects when it is
 * first used, and again when the connection is lost.
 */
export function natsBus(options: NatsOptions): EventBus {
  const prefix = options.subjectPrefix ?? 'plinth.events';
  const timeout = options.ackMs ?? 10_000;
  let opening: Promise<Opened> | undefined;

  const open = async (): Promise<Opened> => {
    const { connect, jetstream } = await load();
    const connection = await connect({ timeout, name: 'plinth relay', ...options.connection, servers: options.servers });
    try {
      const opened = { connection, client: jetstream(connection, { timeout }) };
      if (options.stream !== null) await ensureStream(opened, options.stream ?? 'PLINTH_EVENTS', [`${prefix}.>`], options.duplicateWindowMs ?? 120_000);
      return opened;
    } catch (error) {
      await connection.close();
      throw error;
    }
  };

  const opened = async (): Promise<Opened> => {
    const current = await opening?.catch(() => undefined);
    if (!current || current.connection.isClosed()) opening = open();
    return opening ?? open();
  };

  const send = async ({ client, connection }: Opened, message: RelayMessage, headersOf: () => import('@nats-io/transport-node').MsgHdrs): Promise<void> => {
    const subject = `${prefix}.${message.tenantId}.${message.type}`;
    // The headers count as well; a kibibyte is more than they take.
    const most = (connection.info?.max_payload ?? Number.POSITIVE_INFINITY) - HEADERS_BYTES;
    const publish = async (body: Uint8Array): Promise<'taken' | 'too large'> => {
      if (body.byteLength > most) return 'too large';
      const headers = headersOf();
      headers.set('content-type', 'application/cloudevents+json');
      return client.publish(subject, body, { msgID: message.id, timeout, headers }).then(
        () => 'taken',
        (error: unknown) => {
          if (isTooLarge(error)) return 'too large';
          if (isFull(error)) throw refused(message, messageOf(error));
          throw isUnanswered(error) ? down(error, `no JetStream stream takes ${subject}`) : down(error);
        },
      );
    };
    if ((await publish(bytesOf(message.cloudEvent))) === 'taken' || (await publish(referenceTo(message))) === 'taken') return;
    throw refused(message, 'it is too large even without its data');
  };

  return {
    name: 'nats',
    async publish(messages) {
      const { headers } = await load();
      const to = await opened().catch((error: unknown) => {
        throw down(error);
      });
      for (const wave of waves(messages)) {
        const results = await Promise.allSettled(wave.map((message) => send(to, message, headers)));
        // All have ended before the first failure is told: nothing is on its way when the caller sends again.
        const failed = results.find((result) => result.status === 'rejected');
        if (!failed) continue;
        // The next try connects anew, which makes the stream.
        if (isUnanswered((failed.reason as Error).cause)) await to.connection.close();
        throw failed.reason;
      }
    },
    async close() {
      const current = await opening?.catch(() => undefined);
      opening = undefined;
      await current?.connection.close();
    },
  };
}
