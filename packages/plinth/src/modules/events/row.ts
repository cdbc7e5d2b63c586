import type { JsonObject } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import { errors } from './errors.ts';

/** Rows that `plinth_events.write_effects` takes, from what callers give, or events_event_invalid with the field that is wrong. */
export const fail = raiser('events', errors);

/** The aggregate whose history an event belongs to: `{ type: 'order', id: 'o-1' }`. */
export interface Stream {
  type: string;
  id: string;
}

/** Version that a stream must be at: a number, `none` (0: no event yet), `exists` (1 or more) or `any`. */
export type ExpectedVersion = number | 'none' | 'exists' | 'any';

/** What may be told of an event besides its type and data. */
export interface EventOptions {
  /** Id of the record that caused it. Default: the causation id of the transaction. */
  causationId?: string | undefined;
  /** What it belongs to, where that is not what the transaction belongs to. */
  correlationId?: string | undefined;
  /** Version of the event type to check against. Default: the newest. */
  schemaVersion?: number | undefined;
  /** When it happened, if not now. */
  occurredAt?: Date | undefined;
  metadata?: JsonObject | undefined;
}

export interface PublishOptions extends EventOptions {
  /** Makes the event the next of this stream; it gets a version. */
  stream?: Stream | undefined;
  /** Version the stream must be at before this event. Default: any. */
  expectedVersion?: ExpectedVersion | undefined;
  /** One event a key and tenant, for 90 days: repeating it writes nothing, with other content it is an error. */
  idempotencyKey?: string | undefined;
}

const TYPE = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
export const LONGEST_TYPE = 200;
const LONGEST_NAME = 500;

export const refuse = (field: string, message: string) => fail('event_invalid', { message, detail: { field } });

export const name = (field: string, text: string): string => {
  if (typeof text !== 'string' || text.length < 1 || text.length > LONGEST_NAME || text.includes('\0'))
    throw refuse(field, `${field} has 1 to ${LONGEST_NAME} characters and no NUL byte`);
  return text;
};

/** True for words of letters, digits, _ and -, joined by dots, at most 200 characters. */
export const isEventType = (text: string): boolean => text.length <= LONGEST_TYPE && TYPE.test(text);

/** As SQL takes it: undefined any, 0 none, -1 exists, or the number. */
export function expected(version: ExpectedVersion | undefined, stream: Stream | undefined): number | undefined {
  if (version === undefined || version === 'any') return undefined;
  if (!stream) throw refuse('expectedVersion', 'An expected version needs a stream');
  const number = version === 'none' ? 0 : version === 'exists' ? -1 : version;
  if (!Number.isSafeInteger(number) || (typeof version === 'number' && number < 0))
    throw refuse('expectedVersion', `The expected version ${String(version)} is not a whole number from 0 on, none, exists or any`);
  return number;
}

const isObject = (data: unknown): boolean => typeof data === 'object' && data !== null && !Array.isArray(data);

/** RFC 3339, and with it CloudEvents, has years of four digits. */
export const isTold = (at: Date): boolean => Number(at) >= FIRST_MS && Number(at) < END_MS;
const FIRST_MS = Date.parse('0001-01-01T00:00:00Z');
const END_MS = Date.UTC(10_000, 0);

/** The row of one event. */
export function rowOf(id: string, type: string, data: JsonObject, options: PublishOptions): Record<string, unknown> {
  if (typeof type !== 'string' || !isEventType(type)) throw refuse('type', `${JSON.stringify(String(type).slice(0, 100))} is not an event type`);
  if (!isObject(data)) throw refuse('data', `The data of ${type} are not a JSON object`);
  if (options.causationId !== undefined && !isUuid(options.causationId)) throw refuse('causationId', 'The causation id is not a UUID');
  if (options.correlationId !== undefined && !isUuid(options.correlationId)) throw refuse('correlationId', 'The correlation id is not a UUID');
  if (options.metadata !== undefined && !isObject(options.metadata)) throw refuse('metadata', `The metadata of ${type} are not a JSON object`);
  if (options.occurredAt !== undefined && !isTold(options.occurredAt)) throw refuse('occurredAt', `When ${type} occurred is a time of the years 1 to 9999`);
  return {
    id,
    type,
    payload: data,
    ...streamRow(options.stream, options.expectedVersion),
    idempotency_key: options.idempotencyKey === undefined ? undefined : name('idempotencyKey', options.idempotencyKey),
    correlation_id: options.correlationId,
    causation_id: options.causationId,
    asked_version: options.schemaVersion,
    occurred_at: options.occurredAt?.toISOString(),
    metadata: options.metadata,
  };
}

/** The part of a row that names a stream; alone, a row that only checks its version. */
export const streamRow = (stream: Stream | undefined, expectedVersion: ExpectedVersion | undefined): Record<string, unknown> => ({
  aggregate_type: stream && name('stream.type', stream.type),
  aggregate_id: stream && name('stream.id', stream.id),
  expected_version: expected(expectedVersion, stream),
});
