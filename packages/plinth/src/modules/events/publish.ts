import type { EffectSink } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import { isUuid } from '#kernel/ids.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { errors } from './errors.ts';

const fail = raiser('events', errors);

/** The aggregate whose history an event belongs to: `{ type: 'order', id: 'o-1' }`. */
export interface Stream {
  type: string;
  id: string;
}

export interface PublishOptions {
  /** Makes the event the next of this stream; it gets a version. */
  stream?: Stream | undefined;
  /** Version the stream must be at before this event: a number, `none` (0: a new stream) or `exists`. Default: any. */
  expectedVersion?: number | 'none' | 'exists' | undefined;
  /** One event a key and tenant, for 90 days: repeating it writes nothing, with other content it is an error. */
  idempotencyKey?: string | undefined;
  /** Id of the record that caused it. Default: the causation id of the transaction. */
  causationId?: string | undefined;
  /** Version of the event type to check against. Default: the newest. */
  schemaVersion?: number | undefined;
  /** When it happened, if not now. */
  occurredAt?: Date | undefined;
  metadata?: Record<string, unknown> | undefined;
}

const TYPE = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
export const LONGEST_TYPE = 200;
const LONGEST_NAME = 500;

const refuse = (field: string, message: string) => fail('event_invalid', { message, detail: { field } });

const name = (field: string, text: string): string => {
  if (typeof text !== 'string' || text.length < 1 || text.length > LONGEST_NAME || text.includes('\0'))
    throw refuse(field, `${field} has 1 to ${LONGEST_NAME} characters and no NUL byte`);
  return text;
};

/** True for words of letters, digits, _ and -, joined by dots, at most 200 characters. */
export const isEventType = (text: string): boolean => text.length <= LONGEST_TYPE && TYPE.test(text);

const expected = (version: PublishOptions['expectedVersion'], stream: Stream | undefined): number | undefined => {
  if (version === undefined) return undefined;
  if (!stream) throw refuse('expectedVersion', 'An expected version needs a stream');
  const number = version === 'none' ? 0 : version === 'exists' ? -1 : version;
  if (!Number.isSafeInteger(number) || (typeof version === 'number' && number < 0))
    throw refuse('expectedVersion', `The expected version ${String(version)} is not a whole number from 0 on, none or exists`);
  return number;
};

const isObject = (data: unknown): data is Record<string, unknown> => typeof data === 'object' && data !== null && !Array.isArray(data);

function rowOf(id: string, type: string, data: Record<string, unknown>, options: PublishOptions): Record<string, unknown> {
  if (!isEventType(type)) throw refuse('type', `${JSON.stringify(String(type).slice(0, 100))} is not an event type`);
  if (!isObject(data)) throw refuse('data', `The data of ${type} are not a JSON object`);
  if (options.causationId !== undefined && !isUuid(options.causationId)) throw refuse('causationId', 'The causation id is not a UUID');
  return {
    id,
    type,
    payload: data,
    aggregate_type: options.stream && name('stream.type', options.stream.type),
    aggregate_id: options.stream && name('stream.id', options.stream.id),
    expected_version: expected(options.expectedVersion, options.stream),
    idempotency_key: options.idempotencyKey === undefined ? undefined : name('idempotencyKey', options.idempotencyKey),
    causation_id: options.causationId,
    asked_version: options.schemaVersion,
    occurred_at: options.occurredAt?.toISOString(),
    metadata: options.metadata,
  };
}

/** `tx.events`: events are written with the transaction, or not at all. */
export const eventsEffects = (sink: EffectSink) => ({
  /**
   * Publishes an event and returns its id at once; the row is written before COMMIT, after its data were checked against the
   * schema of its type. When the idempotency key was used before, nothing is written and the id is not taken: `firstId` tells the
   * first one. Errors: events_event_invalid here; events_payload_rejected, events_version_conflict, events_idempotency_conflict when it is written.
   */
  publish(type: string, data: Record<string, unknown>, options: PublishOptions = {}): string {
    const id = sink.newId();
    sink.push(`events.publish(${JSON.stringify(type)})`, rowOf(id, type, data, options));
    sink.afterCommit(FEED_SIGNAL);
    return id;
  },
});

/** A transaction of an installation that has this module. */
export type EventsTransaction = AnyTransaction & { readonly events: ReturnType<typeof eventsEffects> };

/** Id of the event that an idempotency key stands for, after writing what waits; undefined for a key never used. */
export async function firstId(tx: AnyTransaction, idempotencyKey: string): Promise<string | undefined> {
  await tx.flush();
  const [row] = await tx.query<{ event_id: string }>('select event_id from plinth_events.dedup where tenant_id = $1 and key = $2', [
    tx.context.tenantId,
    idempotencyKey,
  ]);
  return row?.event_id;
}
