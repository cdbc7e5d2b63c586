import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';

const database = await testDatabase('event insert');
const { admin, tenantA, tenantB } = database;
const prepared = createPlinth({ database: { url: database.serverUrl, max: 1 } });
const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
afterAll(async () => {
  await Promise.all([prepared.close(), unprepared.close()]);
  await database.drop();
});

const correlationId = '018f0000-0000-7000-8000-0000000000cc';
const causationId = '018f0000-0000-7000-8000-0000000000cd';

test('a prepared insert writes the same row as the document does, whatever is given or left out', async () => {
  const written: unknown[] = [];
  for (const plinth of [prepared, unprepared]) {
    const ids: string[] = [];
    for (const context of [
      { tenantId: tenantA, correlationId },
      { tenantId: tenantB, correlationId, causationId, actor: { type: 'user', id: 'ana' } },
    ] as const) {
      await plinth.transaction(context, async (tx) => void ids.push(tx.events.publish('same.row', {})));
      await plinth.transaction(context, async (tx) => {
        const options = { causationId: correlationId, occurredAt: new Date(0), metadata: { a: null } };
        ids.push(tx.events.publish('same.row', { text: 'ü "\u2028', list: [1, null], gone: undefined }, options));
        ids.push(tx.events.publish('same.row', { n: 1e21 }));
      });
    }
    const { rows } = await admin.query('select * from plinth_events.events where id = any ($1) order by position', [ids]);
    expect(rows).toHaveLength(6);
    written.push(rows.map(({ id: _id, position: _position, xact: _xact, created_at: _at, ...rest }) => rest));
  }
  expect(written[0]).toEqual(written[1]);
});

test('events of one transaction keep the order in which they were published, in streams and beside them', async () => {
  const ids: string[] = [];
  await prepared.transaction({ tenantId: tenantA }, async (tx) => {
    ids.push(tx.events.publish('in.order', { n: 1 }, { stream: { type: 'order', id: 'one' } }));
    ids.push(tx.events.publish('in.order', { n: 2 }));
    ids.push(tx.events.publish('in.order', { n: 3 }, { stream: { type: 'order', id: 'one' } }));
  });
  const { rows } = await admin.query<{ id: string }>(`select id from plinth_events.events where type = 'in.order' order by position`);
  expect(rows.map(({ id }) => id)).toEqual(ids);
});

test('an event that cannot be written is named and nothing of its transaction stays', async () => {
  const failing = prepared.transaction({ tenantId: tenantA }, async (tx) => {
    tx.audit.record({ action: 'beside.the.event' });
    tx.events.publish('too.large', { text: 'x'.repeat(1_100_000) });
  });
  await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect_index: 1 } });
  expect((await admin.query(`select 1 from plinth_audit.entries where action = 'beside.the.event'`)).rowCount).toBe(0);
});
