/** Transforms: what they make of a body, what they can never show, and what is refused when they are saved. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { fanOut } from './consumer.ts';

let database: TestDatabase;
let a: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_transform');
  a = database.tenantA;
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));

const ID = '0197f3a0-0000-7000-8000-000000000000';
const document = {
  id: ID,
  type: 'order.paid',
  time: '2026-11-21T12:00:00.000000Z',
  subject: 'order/7',
  stream: { type: 'order', id: '7', version: 3 },
  metadata: {},
  data: {
    total: 4200,
    card: { number: '4111', brand: 'visa' },
    lines: [
      { sku: 'x', price: 1 },
      { sku: 'y', price: 2 },
    ],
    email: 'ada@example.com',
    '{{ data.email }}': 'not a template',
    nothing: null,
  },
};
const head = { type: 'order.paid', timestamp: document.time };
const apply = async (transform: unknown, of: unknown = document): Promise<Record<string, unknown>> => {
  await database.admin.query('select plinth_webhooks.check_transform($1)', [JSON.stringify(transform)]);
  const { rows } = await database.admin.query<{ body: string }>('select plinth_webhooks.transform_body($1, $2) as body', [
    JSON.stringify(of),
    JSON.stringify(transform),
  ]);
  return JSON.parse(rows[0]?.body ?? '') as Record<string, unknown>;
};
const { card, lines, email: _email, ...plain } = document.data;

describe('a transform', () => {
  test.each<[string, unknown, unknown]>([
    ['nothing changes nothing', {}, document.data],
    ['full is the default', { payload: 'full' }, document.data],
    ['thin names the event and its stream', { payload: 'thin' }, { event_id: ID, stream: document.stream }],
    [
      'omit',
      { omit: ['data.card.number', 'data.lines.*.price', 'data.missing.x'] },
      { ...document.data, card: { brand: 'visa' }, lines: [{ sku: 'x' }, { sku: 'y' }] },
    ],
    ['omit of an element', { omit: ['data.lines.0'] }, { ...document.data, lines: [{ sku: 'y', price: 2 }] }],
    ['redact', { redact: ['data.card.*', 'data.email', 'data.nothing.x'].slice(1) }, { ...document.data, email: '[redacted]' }],
    ['redact keeps what is not there away', { redact: ['data.phone', 'data.lines.5.sku'] }, document.data],
    ['rename', { rename: { 'data.total': 'amount', 'data.lines.*.sku': 'article' } }, undefined],
    [
      'set',
      { set: { 'data.source': 'plinth', 'data.deep.er.kind': '{{ type }}', 'data.gone': '{{ data.missing }}', 'data.total': 1 } },
      { ...document.data, source: 'plinth', deep: { er: { kind: 'order.paid' } }, total: 1 },
    ],
    [
      'data as a template: values, constants, text with values, lists, keys without a value left out',
      {
        data: {
          amount: '{{ data.total }}',
          text: 'Order {{stream.id}} of {{ data.email }}: {{ data.missing }}!',
          fixed: [1, true, null, '{{ data.card }}', '{{ data.missing }}'],
          gone: '{{ data.missing }}',
          nil: '{{ data.nothing }}',
        },
      },
      { amount: 4200, text: 'Order 7 of ada@example.com: !', fixed: [1, true, null, card, null], nil: null },
    ],
    ['data as one value', { data: '{{ data.lines }}' }, lines],
  ])('%s', async (_name, transform, data) => {
    const made = await apply(transform);
    expect(made).toMatchObject(head);
    if (data === undefined) {
      const { total, ...rest } = document.data;
      expect(made.data).toEqual({
        ...rest,
        amount: total,
        lines: [
          { article: 'x', price: 1 },
          { article: 'y', price: 2 },
        ],
      });
    } else expect(made.data).toEqual(data);
  });

  test('body makes all of it, and brings back nothing that was omitted or redacted', async () => {
    expect(
      await apply({
        omit: ['data.card'],
        redact: ['data.email'],
        body: { text: '{{ data.email }} paid {{ data.total }} by {{ data.card.number }}', all: '{{ data }}' },
      }),
    ).toEqual({ text: '[redacted] paid 4200 by ', all: { ...plain, lines, email: '[redacted]' } });
    expect(await apply({ payload: 'thin', data: { what: '{{ type }}', total: '{{ data.total }}', id: '{{ data.event_id }}' } })).toEqual({
      ...head,
      data: { what: 'order.paid', id: ID },
    });
  });

  test('what a payload holds is never read as a template', async () => {
    const of = { ...document, data: { a: '{{ data.secret }}', secret: 's' } };
    expect((await apply({ omit: ['data.secret'], data: { text: 'x {{ data.a }} y' } }, of)).data).toEqual({ text: 'x {{ data.secret }} y' });
    expect((await apply({ set: { 'data.b': '{{ data.a }}' } }, of)).data).toEqual({ ...of.data, b: '{{ data.secret }}' });
  });

  test('numbers beyond those of JavaScript stay as they were', async () => {
    const { rows } = await database.admin.query<{ body: string }>(
      `select plinth_webhooks.transform_body('{"type": "t", "data": {"cents": 12345678901234567890.10}}', '{"data": {"x": "{{ data.cents }}"}}') as body`,
    );
    expect(rows[0]?.body).toContain('12345678901234567890.10');
  });

  test('that would be empty or above 1 MiB is sent thin, and says so', async () => {
    const thin = { ...head, data: { event_id: ID, stream: document.stream } };
    expect(await apply({ body: '{{ data.missing }}' })).toEqual({ ...thin, transform_error: 'empty' });
    const large = { ...document, data: { x: 'x'.repeat(300_000) } };
    expect(await apply({ data: ['{{ data.x }}', '{{ data.x }}', '{{ data.x }}', '{{ data.x }}'] }, large)).toEqual({ ...thin, transform_error: 'too_large' });
  });

  test.each<[unknown, string]>([
    [[], 'object'],
    ['x', 'object'],
    [{ code: 'x' }, 'knows no code'],
    [{ payload: 'small' }, 'full or thin'],
    [{ data: {}, body: {} }, 'exclude'],
    [{ set: {}, data: {} }, 'set has no meaning'],
    [{ omit: 'data.x' }, 'lists'],
    [{ rename: ['data.x'] }, 'lists'],
    [{ omit: ['data'] }, 'not a path'],
    [{ omit: ['type'] }, 'not a path'],
    [{ omit: [null] }, 'not a path'],
    [{ omit: ['data.*'] }, 'not a path'],
    [{ redact: ['data..x'] }, 'not a path'],
    [{ set: { 'data.a b': 1 } }, 'not a path'],
    [{ set: { 'data.lines.*.x': 1 } }, 'no *'],
    [{ rename: { 'data.x': 'a.b' } }, 'new name'],
    [{ rename: { 'data.x': 5 } }, 'new name'],
    [{ data: '{{ secret.x }}' }, 'not a path'],
    [{ body: { deep: [{ x: 'a {{ }} b' }] } }, 'not a path'],
    [{ data: '{{ data.x | upcase }}' }, 'not a path'],
    [{ data: Array.from({ length: 51 }, () => '{{ type }}') }, 'at most 50'],
    [{ omit: Array.from({ length: 101 }, (_, n) => `data.x${n}`) }, '100 paths'],
    [{ omit: ['data.*.*.a', 'data.*.b'], redact: ['data.*.*.c', 'data.*.d'] }, 'at most 5'],
    [{ data: 'x'.repeat(17_000) }, '16 KiB'],
    [{ data: Array.from({ length: 20 }).reduce((inner) => [inner], 1) }, '16 levels'],
  ])('%j is refused when it is saved', async (transform, why) => {
    const saving = as(a, `select plinth.subscribe('n', '{#}', 'https://example.com/', p_transform => $1)`, [JSON.stringify(transform)]);
    await expect(saving).rejects.toMatchObject({ code: 'webhooks_transform_invalid', message: expect.stringContaining(why) });
  });
});

const seed = drawnSeed();
test(`whatever a payload and a transform hold, a body comes out, and what was taken away is not in it (seed ${seed})`, async () => {
  const key = fc.constantFrom('a', 'b', 'secret', '0', '1');
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom<unknown>(null, true, 1, 'text', '{{ data.secret }}', [], {}),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 3 }),
    ),
  }));
  const step = fc.constantFrom('a', 'b', '0', '1', 'secret');
  const place = fc.tuple(fc.array(fc.oneof(step, fc.constant('*')), { maxLength: 1 }), step).map(([inner, last]) => ['data', ...inner, last].join('.'));
  const read = fc.array(step, { maxLength: 3 }).map((inner) => `{{ ${['data', ...inner].join('.')} }}`);
  const filled = fc.oneof(
    read,
    read.map((one) => `x ${one} y ${one}`),
    fc.array(read, { maxLength: 3 }),
    fc.dictionary(key, read, { maxKeys: 3 }),
  );
  const transform = fc
    .record(
      {
        payload: fc.constant('full'),
        omit: fc.array(place, { maxLength: 2 }),
        redact: fc.array(place, { maxLength: 2 }),
        rename: fc.dictionary(place, key, { maxKeys: 1 }),
        shape: fc.oneof(
          fc.record({ data: filled }),
          fc.record({ body: filled }),
          fc.record({
            set: fc.dictionary(
              place.filter((one) => !one.includes('*')),
              filled,
              { maxKeys: 2 },
            ),
          }),
        ),
      },
      { requiredKeys: [] },
    )
    .map(({ shape, ...rest }) => ({ ...rest, ...shape }));
  await fc.assert(
    fc.asyncProperty(transform, value, fc.boolean(), async (one, inner, redacts) => {
      const data = { a: inner, secret: 'the marker' };
      const hiding = redacts ? { redact: [...(one.redact ?? []), 'data.secret'] } : { omit: ['data.secret', ...(one.omit ?? [])] };
      // A name given to the secret first would keep it, as it should: renaming comes after both.
      const made = await apply({ ...one, ...hiding }, { ...document, data });
      expect(JSON.stringify(made)).not.toContain('the marker');
    }),
    { seed, numRuns: drawnRuns(300) },
  );
});

describe('a subscription', () => {
  const drain = async () => {
    while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
  };
  const bodies = async (id: string) =>
    (await database.admin.query<{ body: string }>('select body from plinth_webhooks.deliveries where subscription_id = $1 order by id', [id])).rows.map(
      ({ body }) => (JSON.parse(body) as { data: unknown }).data,
    );

  test('gets bodies made by the transform that was in force at the fan-out; every version is kept; others get the whole', async () => {
    const subscribe = async (name: string, transform: unknown) =>
      (
        await as<{ id: string }>(a, `select subscription_id as id from plinth.subscribe($1, '{trip.#}', 'https://example.com/', p_transform => $2)`, [
          name,
          transform === undefined ? null : JSON.stringify(transform),
        ])
      )[0]?.id ?? '';
    const changed = await subscribe('changed', { omit: ['data.secret'] });
    const whole = await subscribe('whole', undefined);
    const happen = async () => {
      await database.plinth.transaction({ tenantId: a }, async (tx) => tx.events.publish('trip.ended', { km: 5, secret: 's' }));
      await drain();
    };
    await happen();
    await as(a, 'select plinth.update_subscription($1, p_transform => $2)', [changed, JSON.stringify({ data: { distance: '{{ data.km }}' } })]);
    await as(a, 'select plinth.update_subscription($1, p_transform => $2)', [changed, JSON.stringify({ data: { distance: '{{ data.km }}' } })]);
    await happen();
    await as(a, 'select plinth.update_subscription($1, p_transform => $2)', [changed, 'null']);
    await happen();
    expect(await bodies(changed)).toEqual([{ km: 5 }, { distance: 5 }, { km: 5, secret: 's' }]);
    expect(await bodies(whole)).toEqual(Array.from({ length: 3 }, () => ({ km: 5, secret: 's' })));
    const versions = 'select version, transform, created_by from plinth.subscription_transforms where subscription_id = $1 order by version';
    expect(await as(a, versions, [changed])).toEqual([
      { version: 1, transform: { omit: ['data.secret'] }, created_by: 'ada' },
      { version: 2, transform: { data: { distance: '{{ data.km }}' } }, created_by: 'ada' },
      { version: 3, transform: null, created_by: 'ada' },
    ]);
    expect(await as(database.tenantB, versions, [changed])).toEqual([]);
    expect(await as(a, 'select transform, transform_version from plinth.event_subscriptions where id = $1', [changed])).toEqual([
      { transform: null, transform_version: 3 },
    ]);
  });

  test('is previewed against a past event', async () => {
    const id = await database.plinth.transaction({ tenantId: a }, async (tx) => tx.events.publish('trip.ended', { km: 7 }));
    const rows = await as<{ event_id: string; body: string }>(a, `select * from plinth.preview_subscription(p_transform => $1, p_event_id => $2)`, [
      JSON.stringify({ body: { text: '{{ data.km }} km' } }),
      id,
    ]);
    expect(rows.map((row) => [row.event_id, row.body])).toEqual([[id, '{"text": "7 km"}']]);
    expect(await as(database.tenantB, 'select * from plinth.preview_subscription(p_event_id => $1)', [id])).toEqual([]);
  });
});
