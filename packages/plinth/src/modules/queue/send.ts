import type { EffectSink, JsonObject, JsonText } from '#kernel/effects.ts';
import { jsonText } from '#kernel/effects.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { fail } from './errors.ts';

/** Largest payload of any queue, as JSON text; a queue may allow less (256 KiB unless it was configured). */
export const MOST_PAYLOAD_BYTES = 1024 * 1024;
/** Longest delay, 14 days. */
export const MOST_DELAY_MS = 1_209_600_000;

/** Anything that JSON can hold, but not null alone. */
export type Payload = JsonObject | readonly unknown[] | string | number | boolean;

export interface SendOptions {
  /** A JSON object beside the payload. */
  headers?: JsonObject | undefined;
  /** Messages of one group are received one after the other, in the order in which they were sent. */
  groupKey?: string | undefined;
  /** Of messages with one key only the first within the window of the queue (5 minutes) is written; the id that a later send returned belongs to no message. */
  deduplicationKey?: string | undefined;
  /** Nobody receives it before so many ms from now, by the clock of the database. At most 14 days. */
  delayMs?: number | undefined;
  /** Id of the record that caused it. Default: that of the transaction. */
  causationId?: string | undefined;
}

/** The hint that receivers of a queue wait for (kernel/wake.ts). */
export const queueSignal = (tenantId: string | undefined, queue: string): string => `queue:${tenantId ?? ''}:${queue}`;

const labelOf = (queue: string): string => `queue.send(${JSON.stringify(queue)})`;

/** Returns the payload as it will be stored. What is no number would be null in JSON, which is at once. */
function check(queue: string, payload: unknown, { delayMs = 0 }: SendOptions): JsonText {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(queue))
    throw fail('message_invalid', {
      message: 'A queue is named by 1 to 100 letters, digits, dots, dashes and underscores',
      detail: { queue: queue.slice(0, 100) },
    });
  if (!(delayMs >= 0 && delayMs <= MOST_DELAY_MS))
    throw fail('message_invalid', { message: `delayMs of a message to queue ${queue} is a number of ms from 0 to 14 days, not ${delayMs}` });
  const json = jsonText(labelOf(queue), 'payload', payload);
  if (json === undefined || json.text === 'null') throw fail('message_invalid', { message: `A message to queue ${queue} needs a payload` });
  const sizeBytes = Buffer.byteLength(json.text);
  // The limit of the queue is looked at in the database, where PostgreSQL's text of it is measured.
  if (sizeBytes > MOST_PAYLOAD_BYTES)
    throw fail('payload_too_large', {
      message: `A message to queue ${queue} has ${sizeBytes} bytes; no queue takes more than ${MOST_PAYLOAD_BYTES}`,
      detail: { limit_bytes: MOST_PAYLOAD_BYTES, size_bytes: sizeBytes },
    });
  return json;
}

/** `tx.queue`: messages are sent with the transaction, or not at all. */
export const queueEffects = (sink: EffectSink) => {
  const send = (queue: string, payload: Payload, options: SendOptions = {}): string => {
    const json = check(queue, payload, options);
    const id = sink.newId();
    sink.push(labelOf(queue), {
      id,
      queue,
      payload: json,
      headers: options.headers,
      group_key: options.groupKey,
      deduplication_key: options.deduplicationKey,
      delay_ms: options.delayMs,
      causation_id: options.causationId,
    });
    sink.afterCommit(queueSignal(sink.context.tenantId, queue));
    return id;
  };
  return {
    /**
     * Sends one message and returns its id at once; the row is written before COMMIT and receivers are woken after it.
     * Errors: queue_message_invalid, queue_payload_too_large, kernel_effect_invalid.
     */
    send,
    /** Sends many to one queue, in this order; they are written by one statement. Errors: as send. */
    sendMany: (queue: string, messages: readonly (SendOptions & { payload: Payload })[]): string[] =>
      messages.map(({ payload, ...options }) => send(queue, payload, options)),
  };
};

/** A transaction of a build that holds this module, which every transaction of a procedure or handler here is. */
export type QueueTransaction = AnyTransaction & { readonly queue: ReturnType<typeof queueEffects> };
