/** Reading streams and what follows from them: states, at any version and time, with and without snapshots, and their differences. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import type { Plinth, Tx } from '../../index.ts';
import type { Fold } from './aggregate.ts';
import { diffAggregate, loadAggregate } from './aggregate.ts';
import { appendNow } from './append.ts';
import { readStream } from './stream.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('aggregate');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());

const asTenant = <T>(tenantId: string, body: (tx: Tx) => Promise<T>): Promise<T> => plinth.transaction({ tenantId }, body);
const order = (id: string) => ({ type: 'order', id });
const paid = (...amounts: number[]) => amounts.map((cents) => ({ type: 'order.paid', data: { cents } }));
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

interface Total {
  cents: number;
  payments: number[];
}
const total: Fold<Total> = {
  name: 'total',
  initial: () => ({ cents: 0, payments: [] }),
  reduce: (state, event) => {
    // In place, which a fold may do.
    state.cents += Number(event.data.cents);
    state.payments.push(event.version);
    return state;
  },
};
const snapshots = (tenantId: string, id: string) =>
  asTenant(tenantId, async (tx) =>
    (await tx.query<{ version: string }>('select version from plinth_events.snapshots where aggregate_id = $1 order by version', [id])).map((row) =>
      Number(row.version),
    ),
  );

describe('a stream', () => {
  test('is read in pages, in both directions, from and to a version, up to a limit', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('read'), paid(...range(1, 25))));
    const read = (options: Parameters<typeof readStream>[2]) =>
      asTenant(a, async (tx) => (await Array.fromAsync(readStream(tx, order('read'), options))).map(({ version }) => version));
    expect(await read({})).toEqual(range(1, 25));
    for (const pageSize of [1, 4, 5, 25, 26]) {
      expect(await read({ pageSize })).toEqual(range(1, 25));
      expect(await read({ pageSize, direction: 'backward' })).toEqual(range(1, 25).reverse());
      expect(await read({ pageSize, from: 7, to: 12 })).toEqual(range(7, 12));
      expect(await read({ pageSize, direction: 'backward', from: 12, to: 7 })).toEqual(range(7, 12).reverse());
      expect(await read({ pageSize, from: 20, limit: 3 })).toEqual([20, 21, 22]);
      expect(await read({ pageSize, direction: 'backward', limit: 6 })).toEqual(range(20, 25).reverse());
    }
    expect(await read({ limit: 0 })).toEqual([]);
    expect(await read({ from: 26 })).toEqual([]);
    for (const options of [{ pageSize: 0 }, { from: -1 }, { limit: 0.5 }, { to: Number.NaN }])
      expect(await errorCode(read(options))).toBe('events_event_invalid');
    expect(await asTenant(b, (tx) => Array.fromAsync(readStream(tx, order('read'))))).toEqual([]);
  });

  test('is looked for only in months that it can lie in, however many are kept', async () => {
    await database.admin.query(`create table plinth_events.old_month partition of plinth_events.events
      for values from ('016f5e66-e800-0000-0000-000000000000') to ('016ffe0c-0c00-0000-0000-000000000000'); alter table plinth_events.old_month owner to plinth_owner`);
    await asTenant(a, async (tx) => tx.events.append(order('young'), paid(1, 2)));
    const looked = await asTenant(a, async (tx) => {
      // Often enough that the server may keep a plan.
      for (let n = 0; n < 10; n++) {
        expect(await Array.fromAsync(readStream(tx, order('young')))).toHaveLength(2);
        expect(await tx.query(`select from plinth.get_aggregate_events('order', 'young')`)).toHaveLength(2);
      }
      return tx.query(
        `select distinct relation::regclass::text as name from pg_locks where pid = pg_backend_pid() and relation::regclass::text ~ '^plinth_events\\.(old_month|events_20\\d\\d_\\d\\d)$'`,
      );
    });
    expect(looked.length).toBeGreaterThan(0);
    expect(looked).not.toContainEqual({ name: 'plinth_events.old_month' });
    await database.admin.query('drop table plinth_events.old_month');
  });

  test('shows events with all that is known of them, and those of its own transaction', async () => {
    const causationId = plinth.newId();
    const occurredAt = new Date('2026-01-02T03:04:05Z');
    const [event] = await plinth.transaction({ tenantId: a, actor: { type: 'user', id: 'ada' } }, async (tx) => {
      tx.events.append(order('own'), [{ type: 'order.paid', data: { cents: 1 }, causationId, occurredAt, metadata: { from: 'test' } }]);
      return Array.fromAsync(readStream(tx, order('own')));
    });
    expect(event).toMatchObject({
      type: 'order.paid',
      schemaVersion: 1,
      version: 1,
      data: { cents: 1 },
      metadata: { from: 'test' },
      actor: { type: 'user', id: 'ada' },
      causationId,
      occurredAt,
      createdAt: expect.any(Date),
    });
  });
});

describe('a state', () => {
  test('follows from the events, now, at a version and at a time', async () => {
    const load = (options?: Parameters<typeof loadAggregate>[3]) => asTenant(a, (tx) => loadAggregate(tx, order('state'), total, options));
    expect(await load()).toEqual({ state: { cents: 0, payments: [] }, version: 0, snapshotVersion: 0 });
    await asTenant(a, async (tx) => tx.events.append(order('state'), paid(1, 2)));
    const [row] = await asTenant(a, (tx) => tx.query<{ at: Date }>(`select max(created_at) as at from plinth.event_store where aggregate_id = 'state'`));
    await until(
      async () =>
        ((await database.admin.query(`select clock_timestamp() > $1::timestamptz + interval '1 ms' as later`, [row?.at])).rows[0] as { later: boolean }).later,
    );
    await asTenant(a, async (tx) => tx.events.append(order('state'), paid(3, 4)));
    expect(await load()).toMatchObject({ state: { cents: 10, payments: [1, 2, 3, 4] }, version: 4 });
    expect(await load({ version: 3 })).toMatchObject({ state: { cents: 6 }, version: 3 });
    expect(await load({ version: 0 })).toMatchObject({ state: { cents: 0 }, version: 0 });
    expect(await load({ at: row?.at })).toMatchObject({ state: { cents: 3 }, version: 2 });
    expect(await load({ at: row?.at, version: 1 })).toMatchObject({ version: 1 });
    expect(await load({ at: new Date(0) })).toMatchObject({ version: 0 });
    for (const options of [{ version: -1 }, { version: 1.5 }, { version: Number.NaN }, { at: new Date(Number.NaN) }])
      expect(await errorCode(load(options))).toBe('events_event_invalid');
    await expect(load({ version: 5 })).rejects.toMatchObject({ code: 'events_version_not_found', status: 404, detail: { version: 5, actual: 4 } });
    expect(await asTenant(b, (tx) => loadAggregate(tx, order('state'), total))).toMatchObject({ version: 0 });
  });

  test('holds what its own transaction appended, and is the expected version of the next append', async () => {
    await asTenant(a, async (tx) => {
      tx.events.append(order('loop'), paid(5));
      const { state, version } = await loadAggregate(tx, order('loop'), total);
      expect(state.cents).toBe(5);
      await appendNow(tx, [{ stream: order('loop'), events: paid(6), expectedVersion: version }]);
      expect(await loadAggregate(tx, order('loop'), total)).toMatchObject({ state: { cents: 11 }, version: 2 });
    });
  });

  test('differs between two versions by the parts that changed and the events in between', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('diff'), paid(1, 2, 3)));
    const difference = await asTenant(a, (tx) => diffAggregate(tx, order('diff'), total, { from: 1, to: 3 }));
    expect(difference.changes).toEqual([
      { path: '/cents', before: 1, after: 6 },
      { path: '/payments/1', after: 2 },
      { path: '/payments/2', after: 3 },
    ]);
    expect(difference.events.map(({ version }) => version)).toEqual([2, 3]);
    expect(await errorCode(asTenant(a, (tx) => diffAggregate(tx, order('diff'), total, { from: 3, to: 1 })))).toBe('events_event_invalid');
    expect(await errorCode(asTenant(a, (tx) => diffAggregate(tx, order('diff'), total, { from: 1, to: 9 })))).toBe('events_version_not_found');
  });

  test('differs between two times, or a version and a time, as it does between the versions of then', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('dated'), paid(1, 2, 3)));
    await database.admin.query(`set session_replication_role = replica; update plinth_events.events set created_at = timestamptz '2026-01-01' + version * interval '1 day'
      where aggregate_id = 'dated'; reset session_replication_role`);
    const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n, 12));
    const between = (from: number | Date, to: number | Date) => asTenant(a, (tx) => diffAggregate(tx, order('dated'), total, { from, to }));
    const byVersion = await between(1, 3);
    expect(byVersion.changes).toContainEqual({ path: '/cents', before: 1, after: 6 });
    for (const [from, to] of [
      [day(1), day(3)],
      [1, day(3)],
      [day(1), 3],
      [day(1), day(99)],
    ] as const)
      expect(await between(from, to)).toEqual(byVersion);
    expect(await between(day(2), day(2))).toMatchObject({ changes: [], events: [], before: { version: 2 } });
    expect(await between(day(0), day(1))).toMatchObject({ before: { version: 0 }, after: { version: 1 }, events: [{ version: 1 }] });
    for (const [from, to] of [
      [day(2), day(1)],
      [day(2), 1],
      [3, day(1)],
      [new Date(Number.NaN), day(1)],
    ] as const)
      expect(await errorCode(between(from, to))).toBe('events_event_invalid');
  });

  test('is refused when events that it needs are no longer kept', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('partly'), paid(1, 2, 3)));
    await asTenant(a, async (tx) => tx.events.append(order('wholly'), paid(1, 2, 3)));
    // What the retention of a whole month leaves behind, without waiting for it.
    await database.admin.query(`set session_replication_role = replica; delete from plinth_events.events where aggregate_id = 'partly' and version = 1;
      delete from plinth_events.events where aggregate_id = 'wholly'; reset session_replication_role`);
    for (const id of ['partly', 'wholly'])
      await expect(asTenant(a, (tx) => loadAggregate(tx, order(id), total))).rejects.toMatchObject({
        code: 'events_history_gone',
        status: 410,
        detail: { version: 1 },
      });
    expect((await appendTo('wholly', 1)).version).toBe(4);
  });

  test('is refused at a time of which nothing is kept, and so are the events of a difference that a snapshot spans', async () => {
    const at = (hours: number): Date => new Date(Date.UTC(2026, 0, 1, hours));
    const often: Fold<Total> = { ...total, snapshotEvery: 3 };
    for (const tenantId of [a, b])
      await asTenant(tenantId, async (tx) => {
        tx.events.append(order('left'), paid(1, 2, 3, 4));
        await loadAggregate(tx, order('left'), often);
      });
    await database.admin.query(`set session_replication_role = replica; update plinth_events.events set created_at = timestamptz '2026-01-01Z' + version * interval '2 hours' where aggregate_id = 'left';
      update plinth_events.streams set created_at = '2026-01-01 02:00Z' where aggregate_id = 'left';
      delete from plinth_events.events where aggregate_id = 'left' and version <= 2 and tenant_id = '${a}'; reset session_replication_role`);
    const load = (tenantId: string, when: Date) => asTenant(tenantId, (tx) => loadAggregate(tx, order('left'), total, { at: when }));
    // Before there was anything, of which nothing has to be kept.
    for (const tenantId of [a, b]) expect(await load(tenantId, at(1))).toMatchObject({ version: 0 });
    expect(await load(b, at(3))).toMatchObject({ version: 1, state: { cents: 1 } });
    for (const when of [at(3), at(5), at(7)]) expect([when, await errorCode(load(a, when))]).toEqual([when, 'events_history_gone']);
    const diff = (tenantId: string, from: number | Date) => asTenant(tenantId, (tx) => diffAggregate(tx, order('left'), often, { from, to: 4 }));
    expect((await diff(b, 0)).events).toHaveLength(4);
    for (const from of [0, at(1), at(3)]) expect([from, await errorCode(diff(a, from))]).toEqual([from, 'events_history_gone']);
  });
});

const appendTo = (id: string, cents: number) =>
  asTenant(a, async (tx) => (await appendNow(tx, [{ stream: order(id), events: paid(cents) }])).events[0] ?? { version: 0 });

async function until(done: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await done())) if (performance.now() > end) throw new Error('waited for 20 s');
}

describe('a snapshot', () => {
  const often: Fold<Total> = { ...total, snapshotEvery: 10 };
  const load = (id: string, fold = often) => asTenant(a, (tx) => loadAggregate(tx, order(id), fold));

  test('is kept when enough events came after the last one, and only the newest are', async () => {
    let expected = 0;
    for (const n of range(1, 60)) {
      expected += n;
      await appendTo('snap', n);
      if (n % 4 === 0) expect((await load('snap')).state.cents).toBe(expected);
    }
    expect(await snapshots(a, 'snap')).toEqual([36, 48, 60]);
    expect(await load('snap')).toEqual({ ...(await load('snap', total)), snapshotVersion: 60 });
    expect(await asTenant(a, (tx) => loadAggregate(tx, order('snap'), often, { version: 50 }))).toMatchObject({ version: 50, snapshotVersion: 48 });
    expect(await asTenant(a, (tx) => loadAggregate(tx, order('snap'), often, { version: 20 }))).toMatchObject({ version: 20, snapshotVersion: 0 });
    expect(await snapshots(b, 'snap')).toEqual([]);
  });

  test('of other code is not used', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('code'), paid(...range(1, 12))));
    await load('code');
    expect((await load('code')).snapshotVersion).toBe(12);
    const count: Fold<Total> = { ...often, reduce: (state) => ({ ...state, cents: state.cents + 1 }) };
    expect(await load('code', count)).toMatchObject({ state: { cents: 12 }, snapshotVersion: 0 });
    expect((await load('code', { ...often, revision: 2 })).snapshotVersion).toBe(0);
    expect((await load('code', { ...often, snapshotEvery: undefined })).snapshotVersion).toBe(0);
  });

  test('leaves with its transaction, and none is written where nothing may be', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('rolled'), paid(...range(1, 12))));
    const readOnly = await plinth.transaction({ tenantId: a, readOnly: true }, (tx) => loadAggregate(tx, order('rolled'), often));
    expect(readOnly).toMatchObject({ version: 12, snapshotVersion: 0 });
    await expect(
      asTenant(a, async (tx) => {
        tx.events.append(order('rolled'), paid(100));
        await loadAggregate(tx, order('rolled'), often);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await snapshots(a, 'rolled')).toEqual([]);
    expect((await load('rolled')).state.cents).toBe(78);
    expect(await snapshots(a, 'rolled')).toEqual([12]);
  });

  test('by many readers at once is one, and appends do not wait for it', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('crowd'), paid(...range(1, 12))));
    const states = await Promise.all(range(1, 12).map((n) => (n % 3 === 0 ? appendTo('crowd', 0).then(() => load('crowd')) : load('crowd'))));
    for (const { state } of states) expect(state.cents).toBe(78);
    expect((await snapshots(a, 'crowd')).length).toBeLessThanOrEqual(3);
    expect((await load('crowd')).state).toEqual((await load('crowd', total)).state);
  });

  test('needs a state that JSON gives back as it was', async () => {
    await asTenant(a, async (tx) => tx.events.append(order('dates'), paid(1, 2)));
    const dated: Fold<{ last: Date | null }> = {
      name: 'dated',
      initial: () => ({ last: null }),
      reduce: (_, event) => ({ last: event.createdAt }),
      snapshotEvery: 2,
    };
    expect(await errorCode(asTenant(a, (tx) => loadAggregate(tx, order('dates'), dated)))).toBe('events_state_not_json');
    expect(await errorCode(asTenant(a, (tx) => loadAggregate(tx, order('dates'), { ...dated, name: '' })))).toBe('events_event_invalid');
  });
});
