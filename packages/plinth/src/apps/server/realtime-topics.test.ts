/** Topics: their patterns are those of webhook subscriptions, and what is none is refused. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import { parseTopic, patternMatcher } from './realtime-topics.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('realtime_topics');
});
afterAll(() => database.drop());

const seed = drawnSeed();
test(`a pattern means for a topic what it means for a webhook subscription (seed ${seed})`, async () => {
  const random = seeded(seed);
  const one = (from: readonly string[]): string => from[Math.floor(random() * from.length)] ?? '';
  const words = (from: readonly string[]): string[] => Array.from({ length: 1 + Math.floor(random() * 4) }, () => one(from));
  const cases = Array.from({ length: 1_000 }, () => {
    const before = random() < 0.1 ? [] : words(['a', 'b', 'a-b', '*', '*']);
    const pattern = [...before, ...(before.length === 0 || random() < 0.4 ? ['#'] : [])].join('.');
    return { pattern, type: words(['a', 'b', 'a-b', 'axb']).join('.') };
  });
  const { rows } = await database.admin.query<{ yes: boolean }>(
    `select c.pattern = any (plinth_webhooks.match_keys(c.type)) as yes from rows from (jsonb_to_recordset($1) as (pattern text, type text)) with ordinality as c (pattern, type, place) order by c.place`,
    [JSON.stringify(cases)],
  );
  const matched = rows.filter(({ yes }) => yes).length;
  expect(matched > 50 && matched < 950, `${matched} of 1,000 match`).toBe(true);
  for (const [nth, { pattern, type }] of cases.entries()) {
    expect(parseTopic(`events/${pattern}`)).toMatchObject({ pattern });
    expect(patternMatcher(pattern)(type), `${pattern} and ${type}`).toBe(rows[nth]?.yes);
  }
});

test.each([
  'events',
  'events/',
  'events/#.a',
  'events/a.#.b',
  'events/a*',
  'events/*/b',
  'events/a..b',
  `events/${Array.from({ length: 17 }, () => 'a').join('.')}`,
  'stream/order',
  'stream/order/1/2',
  'stream//1',
  'stream/order/%00',
  'Events/a',
])('%s is no topic', (text) => expect(() => parseTopic(text)).toThrow(expect.objectContaining({ code: 'kernel_topic_invalid' })));
