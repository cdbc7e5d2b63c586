/** Events from publishing to reading, through the transaction and SQL. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import type { Plinth, Tx } from '../../index.ts';
import { firstId } from './append.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;

beforeAll(async () => {
  database = await testDatabase('events');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());

interface StoredEvent {
  id: string;
  event_type: string;
  event_version: number | null;
  version: string | null;
  payload: Record<string, unknown>;
  position: string;
  [column: string]: unknown;
}
const asTenant = <T>(tenantId: string, body: (tx: Tx) => Promise<T>): Promise<T> => plinth.transaction({ tenantId }, body);
const stored = async (tenantId: string, id: string): Promise<StoredEvent | undefined> =>
  (await asTenant(tenantId, (tx) => tx.query<StoredEvent>('select * from plinth.event_store where id = $1', [id])))[0];
const stream = (tenantId: string, id: string) =>
  asTenant(tenantId, (tx) => tx.query<StoredEvent>(`select * from plinth.get_aggregate_events('order', $1)`, [id]));

describe('publish', () => {
  test('commits and rolls back with the transaction, and carries who and the correlation', async () => {
    const correlationId = plinth.newId();
    let lost = '';
    await expect(
      asTenant(a, async (tx) => {
        lost = tx.events.publish('order.created', {});
        await tx.flush();
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await stored(a, lost)).toBeUndefined();
    const id = await plinth.transaction({ tenantId: a, correlationId, actor: { type: 'user', id: 'u1' } }, async (tx) =>
      tx.events.publish('order.created', { total: 5 }, { metadata: { from: 'test' } }),
    );
    expect(await stored(a, id)).toMatchObject({
      event_type: 'order.created',
      payload: { total: 5 },
      metadata: { from: 'test' },
      actor_type: 'user',
      actor_id: 'u1',
      correlation_id: correlationId,
      version: null,
      aggregate_id: null,
    });
    expect(await stored(b, id)).toBeUndefined();
  });

  test('events of one transaction keep the order in which they were published', async () => {
    const ids = await asTenant(a, async (tx) =>
      Array.from({ length: 50 }, (_, n) => tx.events.publish('order.counted', { n }, n % 2 ? { stream: { type: 'order', id: 'many' } } : {})),
    );
    const rows = await asTenant(a, (tx) => tx.query<StoredEvent>('select * from plinth.event_store where id = any ($1::uuid[]) order by position', [ids]));
    expect(rows.map((row) => row.payload.n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect((await stream(a, 'many')).map((row) => [row.version, row.payload.n])).toEqual(Array.from({ length: 25 }, (_, n) => [String(n + 1), 2 * n + 1]));
  });

  test('a wrong type, data or stream is refused where it is published', async () => {
    const refused = (publish: (tx: Tx) => unknown) => errorCode(asTenant(a, async (tx) => publish(tx)));
    for (const type of ['', 'order created', 'a..b', '.a', 'x'.repeat(201), "'; drop table x; --"])
      expect(await refused((tx) => tx.events.publish(type, {}))).toBe('events_event_invalid');
    expect(await refused((tx) => tx.events.publish('a', [] as unknown as Record<string, unknown>))).toBe('events_event_invalid');
    expect(await refused((tx) => tx.events.publish('a', {}, { stream: { type: 'order', id: '' } }))).toBe('events_event_invalid');
    expect(await refused((tx) => tx.events.publish('a', {}, { expectedVersion: 1 }))).toBe('events_event_invalid');
    expect(await refused((tx) => tx.events.publish('a', {}, { causationId: 'x' }))).toBe('events_event_invalid');
    expect(await refused((tx) => tx.events.publish('a', { text: 'x'.repeat(1_100_000) }))).toBe('kernel_invalid_input');
    expect(await refused((tx) => tx.events.publish('a', {}, { metadata: [1] as unknown as Record<string, unknown> }))).toBe('events_event_invalid');
    for (const occurredAt of [new Date(Number.NaN), new Date(Date.UTC(10_000, 0)), new Date('-000001-01-01T00:00:00Z')])
      expect(await refused((tx) => tx.events.publish('a', {}, { occurredAt }))).toBe('events_event_invalid');
  });

  test('SQL callers get the same refusals, by name', async () => {
    const refused = (call: string) => errorCode(asTenant(a, (tx) => tx.query(`select ${call}`)));
    expect(await refused(`plinth.publish_event('a b')`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', '[]')`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', p_aggregate_id := 'x')`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', p_expected_version := 1)`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', p_idempotency_key := '')`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', jsonb_build_object('t', repeat('x', 1100000)))`)).toBe('events_event_invalid');
    expect(await refused(`plinth.publish_event('a', p_type_version := 7)`)).toBe('events_type_unknown');
    expect(await refused(`plinth.append_event(null, 'order', 'a')`)).toBe('events_event_invalid');
    // What the API could not show.
    for (const metadata of ['5', '[1]', '"x"', `{"x": "${'x'.repeat(1_100_000)}"}`]) {
      expect(await refused(`plinth.publish_event('a', p_metadata := '${metadata}')`)).toBe('events_event_invalid');
      expect(await refused(`plinth.append_event('x', 'order', 'a', p_metadata := '${metadata}')`)).toBe('events_event_invalid');
      expect(await refused(`plinth.append_events('x', 'order', '[{"event_type": "a", "metadata": ${metadata}}]')`)).toBe('events_event_invalid');
    }
    for (const at of ['infinity', '-infinity', '10000-01-01Z', '0001-12-31Z BC']) {
      expect(await refused(`plinth.publish_event('a', p_occurred_at := '${at}')`)).toBe('events_event_invalid');
      expect(await refused(`plinth.append_events('x', 'order', '[{"event_type": "a", "occurred_at": "${at}"}]')`)).toBe('events_event_invalid');
    }
    await asTenant(a, (tx) =>
      tx.query(
        `select plinth.append_event('versioned', 'order', 'a', p_expected_version := 0), plinth.append_event('versioned', 'order', 'a', p_expected_version := -1)`,
      ),
    );
    for (const stream of ['versioned', 'new'])
      expect(await refused(`plinth.append_event('${stream}', 'order', 'a', p_expected_version := -2)`), stream).toBe('events_event_invalid');
    const none = await asTenant(a, (tx) => tx.query<{ id: string }>(`select plinth.append_event('none', 'order', 'a', p_metadata := 'null') as id`));
    expect(await stored(a, none[0]?.id ?? '')).toMatchObject({ metadata: {} });
    await asTenant(a, (tx) =>
      tx.query(`select plinth.define_event_type('dated', '{"title": "1"}', 'off'), plinth.define_event_type('dated', '{"title": "2"}', 'off')`),
    );
    const dated = await asTenant(a, (tx) =>
      tx.query<{ id: string }>(`select plinth.append_event('none', 'order', 'dated', p_occurred_at := '2020-01-02 03:04:05+01', p_type_version := 1) as id`),
    );
    expect(await stored(a, dated[0]?.id ?? '')).toMatchObject({ occurred_at: new Date('2020-01-02T02:04:05Z'), event_version: 1 });
    expect(await errorCode(plinth.transaction({}, (tx) => tx.query(`select plinth.publish_event('a')`)))).toBe('kernel_tenant_required');
  });

  test('events cannot be changed or deleted, not even by a superuser', async () => {
    const id = await asTenant(a, async (tx) => tx.events.publish('order.created', {}));
    expect(await errorCode(database.admin.query(`update plinth_events.events set type = 'x' where id = $1`, [id]))).toBe('events_append_only');
    expect(await errorCode(asTenant(a, (tx) => tx.query('delete from plinth_events.events')))).toBe('42501');
    const { rows } = await database.admin.query(
      `select 'plinth_events.events' as name union all select name from plinth_kernel.partition_list('plinth_events.events')`,
    );
    expect(rows.length).toBeGreaterThan(2);
    for (const { name } of rows) expect(await errorCode(database.admin.query(`truncate ${name}`)), name).toBe('events_append_only');
  });
});

describe('idempotency key', () => {
  test('the same key and content is one event; other content is refused', async () => {
    const publish = (data: Record<string, unknown>) => asTenant(a, async (tx) => tx.events.publish('order.paid', data, { idempotencyKey: 'k1' }));
    const first = await publish({ x: 1, y: 2 });
    const again = await publish({ y: 2, x: 1 });
    expect(await stored(a, again)).toBeUndefined();
    expect(await asTenant(a, (tx) => firstId(tx, 'k1'))).toBe(first);
    expect(await errorCode(publish({ x: 2 }))).toBe('events_idempotency_conflict');
    const [row] = await asTenant(a, (tx) =>
      tx.query<{ id: string }>(`select plinth.publish_event('order.paid', '{"x":1,"y":2}', p_idempotency_key := 'k1') as id`),
    );
    expect(row?.id).toBe(first);
  });

  test('two tenants use the same key without meeting', async () => {
    const [one, two] = await Promise.all(
      [a, b].map((tenant) => asTenant(tenant, async (tx) => tx.events.publish('order.paid', { tenant }, { idempotencyKey: 'shared' }))),
    );
    expect(await stored(a, one ?? '')).toBeDefined();
    expect(await stored(b, two ?? '')).toBeDefined();
  });

  test('of many writers at once one writes and all get its id', async () => {
    const ids = await Promise.all(
      Array.from({ length: 12 }, () =>
        asTenant(
          a,
          async (tx) => (await tx.query<{ id: string }>(`select plinth.publish_event('order.paid', '{"n":1}', p_idempotency_key := 'race') as id`))[0]?.id,
        ),
      ),
    );
    expect(new Set(ids).size).toBe(1);
    const rows = await asTenant(a, (tx) => tx.query(`select 1 from plinth.event_store where idempotency_key = 'race'`));
    expect(rows).toHaveLength(1);
  });

  test('a key whose writer rolled back is free again, also for one that waited', async () => {
    const events = await Promise.allSettled([
      asTenant(a, async (tx) => {
        tx.events.publish('order.paid', { n: 1 }, { idempotencyKey: 'freed' });
        await tx.flush();
        throw new Error('no');
      }),
      asTenant(a, async (tx) => tx.events.publish('order.paid', { n: 2 }, { idempotencyKey: 'freed' })),
    ]);
    expect(events[1]?.status === 'fulfilled' || (await errorCode(Promise.reject((events[1] as PromiseRejectedResult).reason)))).toBe(true);
  });

  test('the same key twice in one transaction is one event', async () => {
    const [first, second] = await asTenant(a, async (tx) =>
      [1, 2].map(() => tx.events.publish('order.paid', { n: 1 }, { idempotencyKey: 'twice', stream: { type: 'order', id: 'twice' } })),
    );
    expect(await stored(a, first ?? '')).toMatchObject({ version: '1' });
    expect(await stored(a, second ?? '')).toBeUndefined();
  });
});

describe('streams', () => {
  test('number their events without gaps, also when writers race and fail', async () => {
    await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) =>
        asTenant(a, async (tx) => {
          tx.events.publish('order.changed', { n }, { stream: { type: 'order', id: 'raced' } });
          if (n % 5 === 0) {
            await tx.flush();
            throw new Error('no');
          }
        }),
      ),
    );
    const rows = await stream(a, 'raced');
    expect(rows.map((row) => row.version)).toEqual(Array.from({ length: 24 }, (_, n) => String(n + 1)));
    expect(rows.map((row) => row.position)).toEqual([...rows].map((row) => row.position).sort((x, y) => Number(x) - Number(y)));
  });

  test('an expected version that is not the version is refused and says both', async () => {
    const append = (expectedVersion: number | 'none' | 'exists', id: string) =>
      asTenant(a, async (tx) => tx.events.publish('order.changed', {}, { stream: { type: 'order', id }, expectedVersion }));
    expect(await errorCode(append('exists', 'new'))).toBe('events_version_conflict');
    await append('none', 'new');
    expect(await errorCode(append('none', 'new'))).toBe('events_version_conflict');
    await append('exists', 'new');
    await append(2, 'new');
    await expect(append(2, 'new')).rejects.toMatchObject({ status: 409, detail: { expected: 2, actual: 3 } });
    expect((await stream(a, 'new')).map((row) => row.version)).toEqual(['1', '2', '3']);
    expect(await errorCode(asTenant(a, (tx) => tx.query(`select plinth.append_event('new', 'order', 'x', p_expected_version := 1)`)))).toBe(
      'events_version_conflict',
    );
  });

  test('of many that expect the same version exactly one gets it', async () => {
    const done = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        asTenant(a, async (tx) => tx.events.publish('order.changed', {}, { stream: { type: 'order', id: 'one' }, expectedVersion: 'none' })),
      ),
    );
    expect(done.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });

  test('writers that touch the same two streams in opposite orders do not deadlock', async () => {
    const both = (ids: string[]) => asTenant(a, async (tx) => ids.map((id) => tx.events.publish('order.changed', {}, { stream: { type: 'order', id } })));
    await Promise.all(Array.from({ length: 20 }, (_, n) => both(n % 2 ? ['left', 'right'] : ['right', 'left'])));
    expect(await stream(a, 'left')).toHaveLength(20);
    expect(await stream(a, 'right')).toHaveLength(20);
  });

  test('another tenant has streams of the same name and sees none of these', async () => {
    await asTenant(b, async (tx) => tx.events.publish('order.changed', {}, { stream: { type: 'order', id: 'raced' } }));
    expect((await stream(b, 'raced')).map((row) => row.version)).toEqual(['1']);
  });
});
