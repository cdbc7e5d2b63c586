/** CloudEvents both ways, cross-checked with the specification's own SDK. */
import type { CloudEventV1 } from 'cloudevents';
import { HTTP, CloudEvent as SdkEvent } from 'cloudevents';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import type { CloudEvent } from './cloud-events.ts';
import { fromCloudEvent, parseCloudEvent, toCloudEvent } from './cloud-events.ts';
import { cloudEventBatch, cloudEventMessage, readCloudEvents } from './cloud-events-http.ts';

const tenantId = '018f0000-0000-7000-8000-00000000000a';
const correlationId = '018f0000-0000-7000-8000-00000000000b';
const own = toCloudEvent({
  tenantId,
  id: '018f0000-0000-7000-8000-000000000001',
  type: 'order.paid',
  data: { cents: 4200, note: 'ü' },
  schemaVersion: 3,
  stream: { type: 'order', id: 'a/1 ü' },
  version: 7,
  metadata: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  correlationId,
  occurredAt: new Date('2026-01-02T03:04:05.678Z'),
});

describe('an event of ours', () => {
  test('has the attributes that the README names', () => {
    expect(own).toEqual({
      specversion: '1.0',
      id: '018f0000-0000-7000-8000-000000000001',
      source: `urn:uuid:${tenantId}`,
      type: 'order.paid',
      subject: 'order/a%2F1%20%C3%BC',
      time: '2026-01-02T03:04:05.678Z',
      datacontenttype: 'application/json',
      dataschema: 'urn:plinth:event-type:order.paid:3',
      correlationid: correlationId,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      partitionkey: 'order/a%2F1%20%C3%BC',
      sequence: '00000000000000000007',
      data: { cents: 4200, note: 'ü' },
    });
  });

  test('comes back as what is to be published', () => {
    expect(fromCloudEvent(own)).toMatchObject({
      type: 'order.paid',
      data: { cents: 4200, note: 'ü' },
      schemaVersion: 3,
      stream: { type: 'order', id: 'a/1 ü' },
      occurredAt: new Date('2026-01-02T03:04:05.678Z'),
      correlationId,
      metadata: { traceparent: own.traceparent },
      idempotencyKey: `cloudevent urn:uuid:${tenantId} 018f0000-0000-7000-8000-000000000001`,
    });
  });

  test.each(['structured', 'binary'] as const)('is understood by the SDK, %s', (mode) => {
    // Without a percent sign, which the SDK does not decode in headers as the binding asks (3.1.3.2).
    const plain = { ...own, subject: 'order/a-1', partitionkey: 'order/a-1' };
    const read = HTTP.toEvent(cloudEventMessage(plain, mode)) as CloudEventV1<unknown>;
    expect(new SdkEvent(read).validate()).toBe(true);
    expect(JSON.parse(JSON.stringify(read))).toEqual(JSON.parse(JSON.stringify({ ...plain, datacontenttype: read.datacontenttype })));
  });

  test('is understood by the SDK as part of a batch', () => {
    const read = HTTP.toEvent(cloudEventBatch([own, { ...own, id: '2' }])) as CloudEventV1<unknown>[];
    expect(read.map(({ id }) => id)).toEqual([own.id, '2']);
  });
});

describe('an event of the SDK', () => {
  const theirs = new SdkEvent({
    id: 'A234-1234',
    source: '/shop/1',
    type: 'com.example.order-placed',
    subject: 'blobs/a',
    dataschema: 'https://example.com/s',
    data: { a: 'ü' },
    correlationid: 'not a uuid',
    rate: 5,
  });

  test.each(['structured', 'binary'] as const)('is read, %s, and keeps its identity and extensions on the way out', (mode) => {
    const { headers, body } = HTTP[mode](theirs);
    const json = typeof body === 'string' ? (JSON.parse(body) as unknown) : body;
    const [read] = readCloudEvents(new Headers(headers as Record<string, string>), json);
    const event = fromCloudEvent(read);
    expect(event).toMatchObject({ type: 'com.example.order-placed', data: { a: 'ü' }, schemaVersion: undefined, correlationId: undefined });
    const out = toCloudEvent({
      tenantId,
      id: 'ours',
      type: event.type,
      data: event.data,
      metadata: event.metadata,
      occurredAt: event.occurredAt ?? new Date(0),
    });
    // Headers know text only.
    const { rate, time: _time, ...same } = JSON.parse(JSON.stringify(theirs)) as Record<string, unknown>;
    expect(out).toMatchObject({ ...same, datacontenttype: 'application/json' });
    expect(String(out.rate)).toBe(String(rate));
  });

  test('in a batch is read', () => {
    expect(readCloudEvents(new Headers({ 'content-type': 'application/cloudevents-batch+json' }), JSON.parse(JSON.stringify([theirs, theirs])))).toHaveLength(
      2,
    );
  });
});

test('attributes come through headers whatever they hold', () => {
  const seed = drawnSeed();
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(text, text, (subject, extension) => {
      const event = parseCloudEvent({ specversion: '1.0', id: subject, source: 'urn:a', type: 'a.b', subject, ext1: extension, data: { a: 1 } });
      const { headers, body } = cloudEventMessage(event, 'binary');
      expect(Object.values(headers).every((value) => /^[\x20-\x7e]*$/.test(value))).toBe(true);
      expect(readCloudEvents(new Headers(headers), JSON.parse(body))).toEqual([{ ...event, datacontenttype: 'application/json' }]);
    }),
    { seed, numRuns: drawnRuns(300) },
  );
});

test('what is not a CloudEvent, or cannot be kept, is refused by the name of its attribute', () => {
  const good = { specversion: '1.0', id: '1', source: '/s', type: 'a.b' };
  const attribute = (event: unknown): unknown => {
    try {
      fromCloudEvent(event);
    } catch (error) {
      return (error as { detail: Record<string, unknown> }).detail.attribute;
    }
    return 'none';
  };
  expect(attribute(good)).toBe('none');
  expect(attribute({ ...good, subject: null })).toBe('none');
  expect(attribute({ ...good, data_base64: Buffer.from('{"a":1}').toString('base64') })).toBe('none');
  const bad: [string, unknown][] = [
    ['', []],
    ['specversion', { ...good, specversion: '0.3' }],
    ['id', { ...good, id: '' }],
    ['source', { ...good, source: 'a b' }],
    ['type', { ...good, type: 5 }],
    ['time', { ...good, time: 'yesterday' }],
    ['time', { ...good, time: '2026-13-01T00:00:00Z' }],
    ['time', { ...good, time: '2026-02-30T00:00:00Z' }],
    ['dataschema', { ...good, dataschema: '<>' }],
    ['subject', { ...good, subject: '' }],
    ['Upper', { ...good, Upper: 'a' }],
    ['ext', { ...good, ext: {} }],
    ['ext', { ...good, ext: 1.5 }],
    ['datacontenttype', { ...good, datacontenttype: 'text/plain', data: 'a' }],
    ['data', { ...good, data: [1] }],
    ['data_base64', { ...good, data: {}, data_base64: 'e30=' }],
    ['data_base64', { ...good, data_base64: 'bm8=' }],
  ];
  for (const [name, event] of bad) expect([attribute(event), event]).toEqual([name, event]);
  expect(() => readCloudEvents(new Headers({ 'ce-specversion': '1.0', 'ce-id': '%zz', 'ce-source': '/', 'ce-type': 'a' }), undefined)).toThrow('ce-id');
});

test.each([new Date(Number.NaN), Number.POSITIVE_INFINITY as unknown as Date, new Date('+010000-01-01T00:00:00Z')])(
  'a time that RFC 3339 cannot write (%s) is left out',
  (occurredAt) => {
    const event = toCloudEvent({ tenantId, id: 'i', type: 'a', data: {}, occurredAt });
    expect('time' in event).toBe(false);
    expect(parseCloudEvent(event)).toEqual(event);
  },
);

test('metadata that did not come from a CloudEvent cannot pass for one', () => {
  const metadata = { cloudevents: { type: 'b', data: 1, specversion: '2', Bad: 'x', deep: {}, id: 5, fine: 'yes' } };
  const event: CloudEvent = toCloudEvent({ tenantId, id: 'i', type: 'a', data: {}, metadata, occurredAt: new Date(0) });
  expect(event).toEqual({
    specversion: '1.0',
    id: 'i',
    source: `urn:uuid:${tenantId}`,
    type: 'a',
    time: '1970-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    fine: 'yes',
    data: {},
  });
});
