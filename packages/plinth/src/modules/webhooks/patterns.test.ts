/** The key probe against a matcher that anyone can check by reading. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { fanOut } from './consumer.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_patterns');
});
afterAll(() => database.drop());

const matches = (pattern: readonly string[], type: readonly string[]): boolean => {
  const [head, ...rest] = pattern;
  if (head === undefined) return type.length === 0;
  if (head === '#') return true;
  const [segment, ...others] = type;
  return segment !== undefined && (head === '*' || head === segment) && matches(rest, others);
};
const keysOf = async (type: string): Promise<string[]> =>
  (await database.admin.query<{ keys: string[] }>('select plinth_webhooks.match_keys($1) as keys', [type])).rows[0]?.keys ?? [];

describe('match_keys', () => {
  test.each([
    [
      'order.created',
      ['order.created', 'order.*', '*.created', '*.*', 'order.#', '#', 'order.created.#', '*.#'],
      ['order', '*', 'order.*.*', 'order.created.*', 'orders.#', 'created'],
    ],
    ['order', ['order', '*', '#', 'order.#', '*.#'], ['order.*', '*.*', '']],
    ['github.issues.opened', ['github.*.opened', 'github.#', '*.*.*', 'github.issues.*'], ['github.*', '*.opened', 'github.*.closed']],
  ])('%s', async (type, yes, no) => {
    const keys = await keysOf(type);
    expect(keys).toEqual(expect.arrayContaining(yes));
    for (const pattern of no) expect(keys).not.toContain(pattern);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('grow with the depth of the type up to 8 segments, then stay', async () => {
    const counts = await Promise.all(
      [1, 3, 6, 8, 9, 40].map(async (depth) => (await keysOf(Array.from({ length: depth }, (_, i) => `s${i}`).join('.'))).length),
    );
    expect(counts).toEqual([5, 23, 191, 767, 511, 511]);
  });

  const seed = drawnSeed();
  test(`agree with the naive matcher on random patterns and types (seed ${seed})`, async () => {
    const word = fc.constantFrom('a', 'b', 'c-d', 'e_1');
    const type = fc.array(word, { minLength: 1, maxLength: 5 });
    const pattern = fc
      .tuple(fc.array(fc.oneof(word, fc.constant('*')), { maxLength: 5 }), fc.boolean())
      .map(([segments, open]) => (open ? [...segments, '#'] : segments))
      .filter((segments) => segments.length > 0);
    await fc.assert(
      fc.asyncProperty(fc.array(pattern, { minLength: 1, maxLength: 30 }), type, async (patterns, segments) => {
        const keys = new Set(await keysOf(segments.join('.')));
        for (const one of patterns) expect(keys.has(one.join('.')), `${one.join('.')} and ${segments.join('.')}`).toBe(matches(one, segments));
      }),
      { seed, numRuns: drawnRuns(200) },
    );
  });
});

describe('the fan-out', () => {
  const subscribe = (tenantId: string, name: string, patterns: string[]) =>
    database.plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.subscribe($1, $2, $3)', [name, patterns, 'https://example.com/hooks']));
  const waiting = async (): Promise<
    { tenant_id: string; name: string; event_type: string; body: string; correlation_id: string; causation_id: string; event_id: string }[]
  > =>
    (
      await database.admin.query(
        'select d.*, s.name from plinth_webhooks.deliveries d join plinth_webhooks.subscriptions s on s.id = d.subscription_id order by d.event_type',
      )
    ).rows;

  test('makes one delivery for an event and a subscription, however many patterns match and however often it is begun', async () => {
    const { plinth, tenantA, tenantB } = database;
    await subscribe(tenantA, 'several', ['order.*', 'order.created', '#', 'order.#']);
    await subscribe(tenantA, 'other', ['user.#']);
    await subscribe(tenantB, 'of B', ['#']);
    const correlationId = plinth.newId();
    const [created, huge] = await plinth.transaction({ tenantId: tenantA, correlationId }, async (tx) => [
      tx.events.publish('order.created', { n: 1 }),
      (await tx.query<{ id: string }>(`select plinth.publish_event(p_event_type := 'order.paid', p_payload := '{"cents": 12345678901234567890}') as id`))[0]
        ?.id,
    ]);
    const killed = {
      ...fanOut,
      handle: async (...args: Parameters<typeof fanOut.handle>) => fanOut.handle(...args).then(() => Promise.reject(new Error('killed'))),
    };
    await expect(consumeOnce(plinth, 'webhooks.fan-out', killed)).rejects.toThrow('killed');
    expect(await waiting()).toEqual([]);
    await database.admin.query('update plinth_kernel.feed_cursors set retry_at = null');
    while ((await consumeOnce(plinth, 'webhooks.fan-out', fanOut)) > 0);
    await consumeOnce(plinth, 'webhooks.fan-out', fanOut);
    const rows = await waiting();
    expect(rows.map((row) => [row.tenant_id, row.name, row.event_type])).toEqual([
      [tenantA, 'several', 'order.created'],
      [tenantA, 'several', 'order.paid'],
    ]);
    expect(rows[0]).toMatchObject({ event_id: created, causation_id: created, correlation_id: correlationId });
    expect(JSON.parse(rows[0]?.body ?? '')).toMatchObject({
      type: 'order.created',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { n: 1 },
    });
    expect(rows[1]?.event_id).toBe(huge);
    expect(rows[1]?.body).toContain('12345678901234567890');
  });

  test('looks subscriptions up by their keys, not one by one', async () => {
    await database.admin.query(
      `
      with s as (insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by)
        select $1, 'many ' || n, 'https://example.com', '{x}', 'test' from generate_series(1, 5000) n returning tenant_id, id, name)
      insert into plinth_webhooks.subscription_keys (tenant_id, key, subscription_id) select tenant_id, 'type' || name || '.#', id from s`,
      [database.tenantA],
    );
    await database.admin.query('analyze plinth_webhooks.subscription_keys, plinth_webhooks.subscriptions');
    const plan = await database.admin.query<{ 'QUERY PLAN': string }>(
      `explain select k.subscription_id from plinth_webhooks.subscription_keys k where k.tenant_id = $1 and k.key = any (plinth_webhooks.match_keys('order.created'))`,
      [database.tenantA],
    );
    expect(plan.rows.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Seq Scan');
  });
});
