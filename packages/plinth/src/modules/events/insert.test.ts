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
      const stream = { type: 'same', id: `same ${written.length}` };
      for (const expectedVersion of ['none', 1, 'exists', 'any'] as const)
        await plinth.transaction(
          context,
          async (tx) => void ids.push(...tx.events.append(stream, [{ type: 'same.row', data: { n: 1 } }], { expectedVersion })),
        );
    }
    const { rows } = await admin.query('select * from plinth_events.events where id = any ($1) order by position', [ids]);
    expect(rows).toHaveLength(14);
    written.push(rows.map(({ id: _id, position: _position, xact: _xact, created_at: _at, aggregate_id: _stream, ...rest }) => rest));
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

test('an append alone in its transaction that expects another version is named, and the head stays', async () => {
  const stream = { type: 'order', id: 'alone' };
  const append = (expectedVersion: 'none' | 'exists' | number) =>
    prepared.transaction({ tenantId: tenantA }, async (tx) => void tx.events.append(stream, [{ type: 'alone.appended' }], { expectedVersion }));
  await expect(append('exists')).rejects.toMatchObject({ detail: { effect_code: 'events_version_conflict', expected: -1, actual: 0 } });
  await append('none');
  await expect(append(3)).rejects.toMatchObject({
    status: 409,
    detail: { effect: 'events.append("order:alone")', effect_code: 'events_version_conflict', expected: 3, actual: 1 },
  });
  await append(1);
  const { rows } = await admin.query('select tenant_id, version, id from plinth_events.streams where aggregate_id = $1', ['alone']);
  const first = await admin.query(`select id from plinth_events.events where aggregate_id = 'alone' and version = 1`);
  expect(rows).toEqual([{ tenant_id: tenantA, version: '2', id: first.rows[0]?.id }]);
});

test('an event that cannot be written is named and nothing of its transaction stays', async () => {
  const failing = prepared.transaction({ tenantId: tenantA }, async (tx) => {
    tx.audit.record({ action: 'beside.the.event' });
    tx.events.publish('too.large', { text: 'x'.repeat(1_100_000) });
  });
  await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect_index: 1 } });
  expect((await admin.query(`select 1 from plinth_audit.entries where action = 'beside.the.event'`)).rowCount).toBe(0);
});
