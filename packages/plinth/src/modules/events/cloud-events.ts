import { createHash } from 'node:crypto';
import { PlinthError } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import { fail, isTold } from './row.ts';

/** An event as CloudEvents 1.0.2 has it. Members beside these are extension attributes. */
export interface CloudEvent {
  specversion: '1.0';
  id: string;
  /** With `id` it says which event this is. */
  source: string;
  type: string;
  subject?: string;
  time?: string;
  datacontenttype?: string;
  dataschema?: string;
  data?: unknown;
  [extension: string]: unknown;
}

/** What a CloudEvent is made of: an event as the feed, a stream or the API gives it. */
export interface CloudEventSource {
  tenantId: string;
  id: string;
  type: string;
  data: Record<string, unknown>;
  /** Version of the event type. */
  schemaVersion?: number | null | undefined;
  stream?: { type: string; id: string } | null | undefined;
  /** Place in the stream. */
  version?: number | null | undefined;
  metadata?: Record<string, unknown> | null | undefined;
  correlationId?: string | null | undefined;
  causationId?: string | null | undefined;
  occurredAt: Date;
}

/** What is published for a CloudEvent. */
export interface FromCloudEvent {
  type: string;
  data: Record<string, unknown>;
  schemaVersion: number | undefined;
  occurredAt: Date | undefined;
  correlationId: string | undefined;
  causationId: string | undefined;
  metadata: Record<string, unknown>;
  /** One for source and id: with it the same CloudEvent is one event, and another one under its name a conflict. */
  idempotencyKey: string;
  /** What the subject names, where it is written as `toCloudEvent` writes it. */
  stream: { type: string; id: string } | undefined;
}

/** Names of attributes that are no extensions. */
const CORE = new Set(['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data', 'data_base64']);
const EXTENSION = /^[a-z0-9]{1,50}$/;
const URI_REFERENCE = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const LONGEST = 2_000;
const SCHEMA = /^urn:plinth:event-type:([^:]+):(\d{1,9})$/;
export const JSON_TYPE = /^(?:application\/json|text\/json|[\w.+-]+\/[\w.+-]+\+json)\s*(?:;|$)/i;

export const refuseCloudEvent = (attribute: string, message: string) => fail('cloud_event_invalid', { message, detail: { attribute } });

/** Does something with each of a batch; an error says which of them it is about. */
export const eachOf = <Value, Result>(batch: readonly Value[], body: (value: Value) => Result): Result[] =>
  batch.map((value, index) => {
    try {
      return body(value);
    } catch (error) {
      throw batch.length > 1 ? ofBatch(error, index, batch.length) : error;
    }
  });

export function ofBatch(error: unknown, index: number, of: number): unknown {
  if (!(error instanceof PlinthError)) return error;
  const { code, status, wayOut, message, detail } = error;
  return new PlinthError(
    code,
    { status, title: message, wayOut },
    { message: `CloudEvent ${index + 1} of ${of}: ${message}`, detail: { ...detail, event_index: index }, cause: error },
  );
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Attributes that an event brought along and keeps. Others in the metadata did not come from `fromCloudEvent`. */
const isKept = (name: string, value: unknown): boolean =>
  CORE.has(name) ? ['id', 'source', 'subject', 'dataschema'].includes(name) && typeof value === 'string' : EXTENSION.test(name) && typeof value !== 'object';

/** Date.parse takes 30 February for 2 March. */
const isTime = (text: string): boolean => {
  const [, year, month, day] = TIME.exec(text) ?? [];
  return year !== undefined && new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day) && !Number.isNaN(Date.parse(text));
};

/** `order` and `a/1` -> `order/a%2F1`. */
export const subjectOf = (stream: { type: string; id: string }): string => `${encodeURIComponent(stream.type)}/${encodeURIComponent(stream.id)}`;

function streamOf(subject: string | undefined): { type: string; id: string } | undefined {
  const [type, id, ...more] = subject?.split('/') ?? [];
  if (!type || !id || more.length > 0) return undefined;
  try {
    return { type: decodeURIComponent(type), id: decodeURIComponent(id) };
  } catch {
    return undefined;
  }
}

/** RFC 3339 has years of four digits. The database has more of them, and infinity, which must not keep an event from being passed on. */
const timeOf = (at: Date): string | undefined => (isTold(at) ? at.toISOString() : undefined);

/**
 * An event as a CloudEvent. `source` is `urn:uuid:<tenant>` unless another is given; an event that came in as a CloudEvent keeps its own source, id,
 * subject and extensions. See the README for what becomes of which attribute.
 *
 * @example
 * const cloudEvent = toCloudEvent({ ...event, tenantId, stream: { type: 'order', id: '4711' } });
 */
export function toCloudEvent(event: CloudEventSource, options: { source?: string | undefined } = {}): CloudEvent {
  const { cloudevents, traceparent } = event.metadata ?? {};
  const came = isObject(cloudevents) ? Object.entries(cloudevents).filter(([name, value]) => isKept(name, value)) : [];
  const subject = event.stream ? subjectOf(event.stream) : undefined;
  const made: Record<string, unknown> = {
    specversion: '1.0',
    id: event.id,
    source: options.source ?? `urn:uuid:${event.tenantId}`,
    type: event.type,
    subject,
    time: timeOf(event.occurredAt),
    datacontenttype: 'application/json',
    dataschema: event.schemaVersion ? `urn:plinth:event-type:${event.type}:${event.schemaVersion}` : undefined,
    correlationid: event.correlationId ?? undefined,
    causationid: event.causationId ?? undefined,
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
    partitionkey: subject,
    // The extension wants text that sorts as the events do.
    sequence: event.version ? String(event.version).padStart(20, '0') : undefined,
    ...Object.fromEntries(came),
    data: event.data,
  };
  return Object.fromEntries(Object.entries(made).filter(([, value]) => value !== undefined && value !== null)) as unknown as CloudEvent;
}

/**
 * A JSON value as a CloudEvent. Errors: events_cloud_event_invalid, which names the attribute.
 */
export function parseCloudEvent(value: unknown): CloudEvent {
  if (!isObject(value)) throw refuseCloudEvent('', 'A CloudEvent is a JSON object');
  // null is the same as not there (JSON Event Format, 2.2).
  const event = Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null));
  const text = (name: string): string => {
    const given = event[name];
    if (typeof given !== 'string' || given === '' || given.length > LONGEST) throw refuseCloudEvent(name, `${name} is text of 1 to ${LONGEST} characters`);
    return given;
  };
  if (event.specversion !== '1.0') throw refuseCloudEvent('specversion', `specversion is 1.0, not ${JSON.stringify(event.specversion ?? null).slice(0, 50)}`);
  for (const name of ['id', 'source', 'type']) text(name);
  for (const name of ['subject', 'time', 'datacontenttype', 'dataschema']) if (event[name] !== undefined) text(name);
  for (const name of ['source', 'dataschema'])
    if (event[name] !== undefined && !URI_REFERENCE.test(text(name))) throw refuseCloudEvent(name, `${name} is a URI${name === 'source' ? ' reference' : ''}`);
  if (event.time !== undefined && !isTime(text('time'))) throw refuseCloudEvent('time', 'time is a time as RFC 3339 writes it: 2026-11-21T08:00:00Z');
  for (const [name, member] of Object.entries(event)) {
    if (CORE.has(name)) continue;
    if (!EXTENSION.test(name)) throw refuseCloudEvent(name.slice(0, 100), 'Names of extensions have 1 to 50 lower-case letters and digits');
    if (typeof member !== 'boolean' && !(typeof member === 'number' && Number.isInteger(member)) && !(typeof member === 'string' && member.length <= LONGEST))
      throw refuseCloudEvent(name, `${name} is text of at most ${LONGEST} characters, a whole number or a boolean`);
  }
  return event as unknown as CloudEvent;
}

/** Data of a CloudEvent: a JSON object, as it is or as base64 of its text. */
function dataOf(event: CloudEvent): Record<string, unknown> {
  if (event.datacontenttype !== undefined && !JSON_TYPE.test(event.datacontenttype))
    throw refuseCloudEvent('datacontenttype', `Data of type ${event.datacontenttype.slice(0, 100)} cannot be taken: events hold JSON`);
  const { data_base64: encoded } = event;
  if (event.data !== undefined && encoded !== undefined) throw refuseCloudEvent('data_base64', 'A CloudEvent has data or data_base64, not both');
  const data = encoded === undefined ? (event.data ?? {}) : decoded(encoded);
  if (!isObject(data)) throw refuseCloudEvent('data', 'The data of an event are a JSON object');
  return data;
}

function decoded(encoded: unknown): unknown {
  try {
    if (typeof encoded !== 'string') throw new SyntaxError('not text');
    return JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as unknown;
  } catch {
    throw refuseCloudEvent('data_base64', 'data_base64 is not base64 of JSON');
  }
}

const uuidOr = (value: unknown): string | undefined => (typeof value === 'string' && isUuid(value) ? value : undefined);

/** What to publish for a CloudEvent. Errors: events_cloud_event_invalid, which names the attribute. */
export function fromCloudEvent(value: unknown): FromCloudEvent {
  const event = parseCloudEvent(value);
  const data = dataOf(event);
  const schema = SCHEMA.exec(event.dataschema ?? '');
  const {
    specversion: _spec,
    type,
    time: _time,
    datacontenttype: _type,
    data: _data,
    data_base64: _base64,
    traceparent,
    correlationid,
    causationid,
    ...kept
  } = event;
  const key = `cloudevent ${event.source} ${event.id}`;
  return {
    type,
    data,
    schemaVersion: schema?.[1] === type ? Number(schema[2]) : undefined,
    occurredAt: event.time === undefined ? undefined : new Date(event.time),
    correlationId: uuidOr(correlationid),
    causationId: uuidOr(causationid),
    metadata: {
      cloudevents: {
        ...kept,
        ...(correlationid === undefined || uuidOr(correlationid) ? {} : { correlationid }),
        ...(causationid === undefined || uuidOr(causationid) ? {} : { causationid }),
      },
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    idempotencyKey: key.length <= 300 ? key : `cloudevent ${createHash('sha256').update(`${event.source}\n${event.id}`).digest('hex')}`,
    stream: streamOf(event.subject),
  };
}
