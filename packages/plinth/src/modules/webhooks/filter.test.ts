/** Filters: what they let through, compared with an evaluator that anyone can check by reading, and what is refused when they are saved. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { fanOut } from './consumer.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_filter');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade'));

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
const wants = async (filter: unknown, document: unknown): Promise<boolean | undefined> =>
  (
    await database.admin.query<{ yes: boolean }>('select plinth_webhooks.wants(plinth_webhooks.filter_path($1), $2) as yes', [
      JSON.stringify(filter),
      JSON.stringify(document),
    ])
  ).rows[0]?.yes;
const refusal = async (filter: unknown): Promise<string> => {
  try {
    await as(a, `select plinth.subscribe('n', '{#}', 'https://example.com/', p_filter => $1)`, [JSON.stringify(filter)]);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return `${code} ${message}`;
  }
  return 'accepted';
};

const order = {
  type: 'order.created',
  subject: 'order/4711',
  stream: { type: 'order', id: '4711', version: 1 },
  metadata: {},
  data: {
    total: 120,
    country: 'CH',
    paid: true,
    note: 'a.b*c',
    lines: [
      { sku: 'x-1', count: 2 },
      { sku: 'y', count: 10 },
    ],
    'odd "key"': 1,
  },
};

describe('jsonpath', () => {
  test.each([
    ['$.data.total > 100', true],
    ['$.data.total > 120', false],
    ['$.data.total > 100 && $.data.country == "CH"', true],
    ['$.data.lines[*] ? (@.count >= 10)', true],
    ['$.data.lines[*] ? (@.count >= 10 && @.sku == "x-1")', false],
    ['exists($.data.lines[*] ? (@.count >= 10)) && $.data.paid == true', true],
    ['$.data.missing', false],
    ['$.data.missing == null', false],
    ['$.data.total', true],
    ['$.data.total > "100"', false],
    ['$.type starts with "order."', true],
    ['$.data.lines.size() == 2', true],
    ['$.data.total + 1 == 121', true],
    ['$.data."odd \\"key\\"" == 1', true],
    ['$.data.note == "a like_regex b ** [1,2] $"', false],
    ['$.data.note == "says \\"$.payload.total\\""', false],
    ['$.stream.type == "order" && !($.data.country == "DE")', true],
    ['lax $.data.total > 100', true],
  ])('%s', async (path, expected) => {
    expect(await wants(path, order)).toBe(expected);
    expect(await wants({ jsonpath: path }, order)).toBe(expected);
    expect(await wants({ not: { jsonpath: path } }, order), 'and not is its opposite').toBe(!expected);
  });

  test.each([
    ['$.data.note like_regex "(a+)+$"', 'like_regex'],
    ['$.data ? (@.note like_regex "x")', 'like_regex'],
    ['$.** ? (@ == 1)', '**'],
    ['$.data.**{2}', '**'],
    ['$.data.keyvalue().keyvalue()', 'keyvalue'],
    ['$.data.a[0,0][0,0][0,0]', 'lists of subscripts'],
    ['$.data.a[*] ? (@ == $.data.b)', 'right side'],
    ['$.data.a == $.data.b', 'right side'],
    ['$.data.a[*] ? (exists($.data.a[*] ? (@ == 1)))', 'begins with @'],
    ['$.data.a * $.data.a > 5', 'multiplication'],
    ['strict $.data.a', 'strict'],
    ['$.data.a == $x', 'variables'],
    ['$.payload.total > 100', 'an event has no payload, but id, type'],
    ['$.data.note == "$.data" && $.dta.total > 1', 'an event has no dta'],
    ['$.data.total >', 'not a jsonpath'],
    ['$.data.a) || ($.data.b', 'not a jsonpath'],
    ['', 'not a jsonpath'],
    [`$.data.${'x'.repeat(2000)}`, '2,000'],
  ])('%s is refused', async (path, why) => {
    const told = await refusal(path);
    expect(told).toContain('webhooks_filter_invalid');
    expect(told).toContain(why);
  });
});

describe('the dialects of CloudEvents', () => {
  test.each([
    [{ exact: { type: 'order.created' } }, true],
    [{ exact: { type: 'order.created', subject: 'order/1' } }, false],
    [{ exact: { 'data.total': 120, 'data.paid': true } }, true],
    [{ exact: { 'data.total': '120' } }, false],
    [{ prefix: { type: 'order.', subject: 'order/47' } }, true],
    [{ suffix: { type: '.created' } }, true],
    [{ suffix: { 'data.note': '.b*c' } }, true],
    [{ suffix: { 'data.note': 'xb*c' } }, false],
    [{ suffix: { 'data.note': '.*' } }, false],
    [{ not: { exact: { source: 'x' } } }, true],
    [{ all: [{ prefix: { type: 'order' } }, { not: { exact: { 'data.country': 'DE' } } }] }, true],
    [{ any: [{ exact: { type: 'x' } }, { jsonpath: '$.data.total > 1' }] }, true],
    [[{ prefix: { type: 'order' } }, { exact: { 'data.country': 'DE' } }], false],
    [[], true],
  ])('%j', async (filter, expected) => expect(await wants(filter, order)).toBe(expected));

  test.each([
    [{}],
    [{ exact: { 'payload.total': '1' } }],
    [{ exact: { payload: '1' } }],
    [{ exact: { order_id: '1' } }],
    [{ prefix: { datacontenttype: 'application/' } }],
    [7],
    [true],
    [{ exact: {} }],
    [{ exact: { type: null } }],
    [{ exact: { type: '' } }],
    [{ exact: { type: 'x'.repeat(501) } }],
    [{ prefix: { 'data.total': 5 } }],
    [{ exact: { 'a..b': 'x' } }],
    [{ exact: { 'a" == 1 || $."b': 'x' } }],
    [{ exact: { type: 'x' }, prefix: { type: 'x' } }],
    [{ sql: "type = 'x'" }],
    [{ all: {} }],
    [{ any: [] }],
    [{ not: [] }],
    [{ any: Array.from({ length: 51 }, () => ({ exact: { type: 'x' } })) }],
    [{ any: [{ jsonpath: '$.data like_regex "x"' }] }],
    [{ any: Array.from({ length: 26 }, () => ({ exact: { type: 'x' } })) }],
    [Array.from({ length: 51 }, (_, n) => `$.data.x == ${n}`).join(' || ')],
    [Array.from({ length: 10 }).reduce((inner) => ({ not: inner }), { exact: { type: 'x' } })],
  ])('%j is refused when it is saved', async (filter) => expect(await refusal(filter)).toContain('webhooks_filter_invalid'));

  const seed = drawnSeed();
  test(`agree with an evaluator written down plainly (seed ${seed})`, async () => {
    type Filter = Record<string, unknown>;
    const at = (document: Record<string, unknown>, path: string): unknown =>
      path.split('.').reduce<unknown>((inner, name) => (inner as Record<string, unknown> | undefined)?.[name], document);
    const naive = (filter: Filter, document: Record<string, unknown>): boolean => {
      const [[dialect, given] = ['', undefined]] = Object.entries(filter);
      if (dialect === 'not') return !naive(given as Filter, document);
      if (dialect === 'all') return (given as Filter[]).every((one) => naive(one, document));
      if (dialect === 'any') return (given as Filter[]).some((one) => naive(one, document));
      return Object.entries(given as Record<string, string>).every(([name, value]) => {
        const found = at(document, name);
        if (typeof found !== 'string') return false;
        if (dialect === 'exact') return found === value;
        return dialect === 'prefix' ? found.startsWith(value) : found.endsWith(value);
      });
    };
    const text = fc
      .array(fc.constantFrom('a', 'b', '.', '*', '$', '\\', '"', '[', ')', '\n', 'é', '-'), { minLength: 1, maxLength: 4 })
      .map((all) => all.join(''));
    const name = fc.constantFrom('type', 'subject', 'data.x', 'data.y.z');
    const leaf = fc
      .tuple(fc.constantFrom('exact', 'prefix', 'suffix'), fc.dictionary(name, text, { minKeys: 1, maxKeys: 2 }))
      .map(([dialect, attributes]): Filter => ({ [dialect]: attributes }));
    const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
      filter: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        leaf,
        tie('filter').map((inner): Filter => ({ not: inner })),
        fc
          .tuple(fc.constantFrom('all', 'any'), fc.array(tie('filter'), { minLength: 1, maxLength: 3 }))
          .map(([dialect, inner]): Filter => ({ [dialect]: inner })),
      ),
    }));
    const document = fc.record(
      {
        type: text,
        subject: fc.option(text),
        data: fc.record({ x: fc.oneof(text, fc.integer(), fc.constant(null)), y: fc.record({ z: text }, { requiredKeys: [] }) }, { requiredKeys: [] }),
      },
      { requiredKeys: ['type', 'data'] },
    );
    await fc.assert(
      fc.asyncProperty(filter, document, async (one, event) => {
        const text = JSON.stringify(one);
        fc.pre((text.match(/"(?:type|subject|data\.[xyz.]+)":/g) ?? []).length <= 25 && !/(?:"not":\{|\[\{){8}/.test(text));
        expect(await wants(one, event)).toBe(naive(one, event));
      }),
      { seed, numRuns: drawnRuns(300) },
    );
  });
});

const paths = [
  '$.data.a[*] ? (@.b > 1)',
  '$.data.a.b.c == 1',
  '$.data.a + 1 > 2 || $.data.b - 1 == 0',
  '-$.data.a == 1',
  '$.data.a.size() > 1',
  '$.data.a.double() > 1',
  '$.data.a.datetime() < "2026-01-01".datetime()',
  '$.data.a.ceiling() == 1 && $.data.b.abs() == 2',
  '$.data[*].*[last] == "x"',
  '$.data.a[0 to 5].type() == "number"',
  '($.data.a == 1) is unknown',
  '$.*.*.* starts with "x"',
];
const payloadSeed = drawnSeed();
test(`whatever a payload holds, no filter fails on it: it matches or it does not (seed ${payloadSeed})`, async () => {
  const accepted: string[] = [];
  for (const path of paths) {
    if ((await refusal(path)) === 'accepted') accepted.push(path);
    await database.admin.query('truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries cascade');
  }
  expect(accepted.length).toBeGreaterThan(8);
  const extreme = fc.constantFrom('1e400', '-1e-400', '99999999999999999999999999', '""', '"2026-13-45"', 'null', '[[[[]]]]', '{"b": {"c": [1]}}');
  const value = fc.oneof(
    extreme,
    fc.json({ maxDepth: 4 }).filter((text) => !/\\u(?:0000|d[89a-f])/i.test(text) && text.isWellFormed() && !text.includes('\0')),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...accepted), value, value, async (path, first, second) => {
      const { rows } = await database.admin.query<{ yes: boolean }>('select plinth_webhooks.wants(plinth_webhooks.filter_path($1), $2) as yes', [
        JSON.stringify(path),
        `{"data": {"a": ${first}, "b": ${second}}}`,
      ]);
      expect(rows[0]?.yes).toBeTypeOf('boolean');
    }),
    { seed: payloadSeed, numRuns: drawnRuns(300) },
  );
});

describe('in the fan-out', () => {
  const subscribe = async (tenantId: string, name: string, filter: unknown): Promise<string> =>
    (
      await as<{ id: string }>(tenantId, `select subscription_id as id from plinth.subscribe($1, '{order.#}', 'https://example.com/', p_filter => $2)`, [
        name,
        filter === undefined ? null : JSON.stringify(filter),
      ])
    )[0]?.id ?? '';
  const drain = async () => {
    while ((await consumeOnce(database.plinth, 'webhooks.fan-out', fanOut)) > 0);
  };
  const made = async () =>
    (
      await database.admin.query<{ name: string; n: number }>(
        `select s.name, (d.body::jsonb #>> '{data,n}')::integer as n from plinth_webhooks.deliveries d join plinth_webhooks.subscriptions s on s.id = d.subscription_id order by 1, 2`,
      )
    ).rows.map((row) => `${row.name} ${row.n}`);

  test('a filter decides for its own subscription, whatever the payload looks like, and another tenant is not asked', async () => {
    await subscribe(a, 'all', undefined);
    const large = await subscribe(a, 'large', '$.data.n > 2');
    await subscribe(a, 'odd', { not: { exact: { 'data.kind': 'even' } } });
    await subscribe(b, 'of B', '$.data.n > 0');
    await database.plinth.transaction({ tenantId: a }, async (tx) => {
      for (const n of [1, 2, 3]) tx.events.publish('order.created', { n, kind: n % 2 === 0 ? 'even' : 'odd' });
      tx.events.publish('order.strange', { n: null, kind: [{ deep: {} }] });
    });
    await drain();
    expect(await made()).toEqual(['all 1', 'all 2', 'all 3', 'all null', 'large 3', 'odd 1', 'odd 3', 'odd null']);
    await as(a, 'select plinth.update_subscription($1, p_filter => $2)', [large, 'null']);
    expect(await as(a, 'select filter from plinth.event_subscriptions where id = $1', [large])).toEqual([{ filter: null }]);
    await database.plinth.transaction({ tenantId: a }, async (tx) => tx.events.publish('order.created', { n: 0, kind: 'even' }));
    await drain();
    expect((await made()).filter((line) => line.startsWith('large'))).toEqual(['large 0', 'large 3']);
  });

  test('attributes of CloudEvents are those that an event came in with: its source, its subject and its extensions', async () => {
    const byName = { exact: { source: '/shop/basel', tenantcode: 'ch-7' } };
    await subscribe(a, 'came in', byName);
    await subscribe(a, 'not that', { not: { exact: { source: '/shop/basel' } } });
    await subscribe(a, 'own', { exact: { source: `urn:uuid:${a}` } });
    await subscribe(a, 'subject', [{ suffix: { subject: 'O 1' } }]);
    await subscribe(a, 'correlated', { prefix: { correlationid: '0197' } });
    await subscribe(b, 'of B', byName);
    const correlationId = '01970000-0000-7000-8000-00000000000a';
    await database.plinth.transaction({ tenantId: a, correlationId }, async (tx) => {
      tx.events.publish('order.created', { n: 1 }, { metadata: { cloudevents: { source: '/shop/basel', subject: 'till/O 1', tenantcode: 'ch-7' } } });
      tx.events.publish('order.created', { n: 2 }, { metadata: { cloudevents: { source: '/shop/basel', tenantcode: 'de-7' } } });
      tx.events.publish('order.created', { n: 3 });
    });
    await drain();
    expect(await made()).toEqual(['came in 1', 'correlated 1', 'correlated 2', 'correlated 3', 'not that 3', 'own 3', 'subject 1']);
  });

  test('an empty list is no filter, when it is given and when it takes one away', async () => {
    const id = await subscribe(a, 'all', []);
    expect(await as(a, 'select filter from plinth.event_subscriptions where id = $1', [id])).toEqual([{ filter: null }]);
    await as(a, `select plinth.update_subscription($1, p_filter => '"$.data.n > 1"')`, [id]);
    await as(a, `select plinth.update_subscription($1, p_filter => '[]')`, [id]);
    expect(await as(a, 'select filter from plinth.event_subscriptions where id = $1', [id])).toEqual([{ filter: null }]);
  });

  test('the preview says which of the last events would have come, and shows only those of the tenant', async () => {
    await database.plinth.transaction({ tenantId: b }, async (tx) => {
      for (const n of [1, 2, 3]) tx.events.publish('trip.ended', { n });
    });
    const preview = (tenantId: string, filter: unknown, limit = 100) =>
      as<{ event_type: string; matches: boolean; body: string | null }>(tenantId, `select * from plinth.preview_subscription('{trip.*}', $1, p_limit => $2)`, [
        JSON.stringify(filter),
        limit,
      ]);
    const rows = await preview(b, '$.data.n >= 2');
    expect(rows.filter((row) => row.event_type === 'trip.ended').map((row) => row.matches)).toEqual([true, true, false]);
    expect(JSON.parse(rows[0]?.body ?? '')).toMatchObject({ type: 'trip.ended', data: { n: 3 } });
    expect(rows.every((row) => row.matches === (row.body !== null))).toBe(true);
    expect(await preview(b, '$.data.n >= 2', 1)).toHaveLength(1);
    expect((await preview(a, '$.data.n >= 2')).some((row) => row.event_type === 'trip.ended')).toBe(false);
    await expect(preview(b, 'nonsense $')).rejects.toMatchObject({ code: 'webhooks_filter_invalid' });
    await expect(as(b, `select plinth.preview_subscription(p_format => 'xml')`)).rejects.toMatchObject({ code: 'webhooks_format_invalid' });
  });
});
