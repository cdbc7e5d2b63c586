import type { CloudEvent } from './cloud-events.ts';
import { eachOf, JSON_TYPE, parseCloudEvent, refuseCloudEvent } from './cloud-events.ts';

/** CloudEvents over HTTP, in the three modes of its protocol binding 1.0.2: structured, binary, batch. */

const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
const MOST_IN_A_BATCH = 1_000;

const essence = (type: string | null): string => (type ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The mode of a request; undefined when it is no CloudEvent. */
export function cloudEventMode(headers: Headers): 'structured' | 'batch' | 'binary' | undefined {
  const type = essence(headers.get('content-type'));
  if (type === BATCH) return 'batch';
  if (type === STRUCTURED) return 'structured';
  return headers.has('ce-specversion') ? 'binary' : undefined;
}

/** A header's value as text: quotes off, then percent encoding. */
function headerText(name: string, value: string): string {
  const bare = /^"(?:[^"\\]|\\.)*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
  try {
    return decodeURIComponent(bare);
  } catch {
    throw refuseCloudEvent(name, `The header ce-${name} is not valid percent encoding`);
  }
}

/** Percent encoding where the binding asks for it: outside printable ASCII, and space, quotes and the percent sign. */
const headerValue = (value: unknown): string =>
  Array.from(String(value), (character) => (/^[\x21\x23\x24\x26-\x7e]$/.test(character) ? character : encodeURIComponent(character))).join('');

/** The CloudEvents of a request. `body` is its JSON, undefined when it has none. Errors: events_cloud_event_invalid. */
export function readCloudEvents(headers: Headers, body: unknown): CloudEvent[] {
  const mode = cloudEventMode(headers);
  if (mode === 'batch') {
    if (!Array.isArray(body) || body.length > MOST_IN_A_BATCH) throw refuseCloudEvent('', `A batch is a JSON array of at most ${MOST_IN_A_BATCH} CloudEvents`);
    return eachOf(body, parseCloudEvent);
  }
  if (mode === 'structured') return [parseCloudEvent(body)];
  const type = headers.get('content-type');
  const attributes = [...headers].flatMap(([name, value]) => (name.startsWith('ce-') ? [[name.slice(3), headerText(name.slice(3), value)] as const] : []));
  if (type !== null && !JSON_TYPE.test(type)) throw refuseCloudEvent('datacontenttype', `Data of type ${type.slice(0, 100)} cannot be taken: events hold JSON`);
  return [
    parseCloudEvent({ ...Object.fromEntries(attributes), ...(type === null ? {} : { datacontenttype: type }), ...(body === undefined ? {} : { data: body }) }),
  ];
}

export interface CloudEventMessage {
  headers: Record<string, string>;
  body: string;
}

/** A CloudEvent as headers and body of an HTTP message. `structured`: all of it in the body; `binary`: attributes as ce- headers, the data as the body. */
export function cloudEventMessage(event: CloudEvent, mode: 'structured' | 'binary'): CloudEventMessage {
  if (mode === 'structured') return { headers: { 'content-type': `${STRUCTURED}; charset=utf-8` }, body: JSON.stringify(event) };
  const { data, datacontenttype, ...attributes } = event;
  const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, headerValue(value)]));
  return { headers: { 'content-type': datacontenttype ?? 'application/json', ...headers }, body: JSON.stringify(data ?? {}) };
}

/** Several CloudEvents as one HTTP message. */
export const cloudEventBatch = (events: readonly CloudEvent[]): CloudEventMessage => ({
  headers: { 'content-type': `${BATCH}; charset=utf-8` },
  body: JSON.stringify(events),
});
