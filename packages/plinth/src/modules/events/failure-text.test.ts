/** What is kept of the error of a handler that was given personal fields: it outlives the erasure of the person. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';

let database: TestDatabase;
let plinth: Plinth;
beforeAll(async () => {
  database = await testDatabase('failure_text');
  plinth = createPlinth({ database: { url: database.serverUrl }, keys: createKeyRing({ current: randomBytes(32).toString('base64') }) });
});
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

const CANARY = 'grace.hopper@example.com';
const schema = { type: 'object', 'x-subject': '/id', properties: { id: { type: 'string' }, mail: { type: 'string', 'x-personal': true } } };
const texts = async (consumer: string) => {
  const { rows } = await database.admin.query<{ text: string }>(
    `select last_error as text from plinth_kernel.feed_cursors where consumer = $1 and last_error is not null union all select error from plinth_events.parked where consumer = $1`,
    [consumer],
  );
  return rows.map((row) => row.text);
};

test.each([
  ['quotes the value', async (_tx: unknown, mail: string) => Promise.reject(new TypeError(`no mailbox ${mail}`)), 'TypeError'],
  // The server quotes what it refuses.
  [
    'lets the server quote it',
    async (tx: { query(text: string, values: unknown[]): Promise<unknown> }, mail: string) => void (await tx.query('select $1::text::integer', [mail])),
    '22P02',
  ],
] as const)('a handler that %s leaves class and code behind, on the cursor and beside it', async (name, fails, kept) => {
  const consumer = `test.${name}`;
  const fussy: Consumer = {
    summary: name,
    from: 'now',
    handle: async (tx, events) => {
      for (const { data } of events) await fails(tx as never, String(data.mail));
    },
  };
  await consumeOnce(plinth, consumer, fussy);
  await plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
    await tx.query(`select plinth.define_event_type('person.moved', $1, 'reject')`, [JSON.stringify(schema)]);
    for (const nth of [1, 2]) tx.events.publish('person.moved', { id: 'grace', mail: `${nth}.${CANARY}` });
  });
  const turn = () => consumeOnce(plinth, consumer, fussy).catch((error: Error) => error.message);
  // Whoever runs the process still hears all of it.
  expect(await turn()).toContain(CANARY);
  expect(await texts(consumer)).toEqual([expect.stringContaining(kept)]);
  for (let n = 0; n < 3; n++) await turn();
  await database.admin.query('update plinth_events.parked set retry_at = null where consumer = $1', [consumer]);
  await consumeParked(plinth, consumer, fussy);
  const all = await texts(consumer);
  expect(all.filter((text) => text !== null)).not.toEqual([]);
  expect(all.join()).toContain(kept);
  expect(all.join()).not.toContain(CANARY);
});
