/** A page of an application's own rows, and what it is told from the offset that it took: nothing is in neither. */
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { drawnSeed, seeded } from '#testing/random.ts';
import { createPlinthClient } from '../../client/index.ts';
import { realtimeOffset } from '../../index.ts';
import type { Listening } from './realtime.fixture.ts';
import { listening } from './realtime.fixture.ts';
import { readOffset } from './realtime-offset.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
let http: Listening;
beforeAll(async () => {
  server = await testServer('realtime_own_tables');
  http = await listening(server);
  await server.database.admin.query(`create table public.parcels (tenant_id uuid not null, n integer primary key); grant select, insert on public.parcels to plinth_app;
    alter table public.parcels enable row level security;
    create policy tenant on public.parcels using (tenant_id = (select plinth_kernel.tenant_id()))`);
});
afterAll(async () => {
  server.handler.endStreams();
  await http.close();
  await server.close();
});
beforeEach(() => server.database.admin.query('truncate public.parcels'));
/** What a test that failed left open would keep the next one waiting. */
const open = new Set<() => void>();
afterEach(() => {
  for (const commit of open) commit();
});

type Tx = Parameters<Parameters<TestServer['database']['plinth']['transaction']>[1]>[0];
const inA = <T>(body: (tx: Tx) => Promise<T>, more = {}): Promise<T> =>
  server.database.plinth.transaction({ tenantId: server.database.tenantA, ...more }, body);
/** A row and its event. */
async function put(tx: Tx, n: number): Promise<void> {
  await tx.query('insert into public.parcels values (plinth_kernel.tenant_id(), $1)', [n]);
  tx.events.publish('parcel.put', { n });
  await tx.flush();
}
const numbersOf = (rows: readonly { n: number }[]): number[] => rows.map(({ n }) => n);
const rowsOf = async (tx: Tx): Promise<number[]> => numbersOf(await tx.query<{ n: number }>('select n from public.parcels order by n'));

/** A transaction that has written and waits to be told to commit. */
async function opened(n: number): Promise<() => Promise<void>> {
  const [written, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const done = inA(async (tx) => {
    await put(tx, n);
    written.resolve();
    await commit.promise;
  });
  open.add(commit.resolve);
  await Promise.race([written.promise, done]);
  return async () => {
    commit.resolve();
    open.delete(commit.resolve);
    await done;
  };
}

/** What is told from an offset, up to an event that is published now. */
async function toldFrom(offset: string, end: number): Promise<number[]> {
  await inA((tx) => put(tx, end));
  const reader = await http.listen({ key: server.keyA, topics: ['events/parcel.*'], offset });
  expect(reader.told[0]).toMatchObject({ event: 'ready', data: { resumed: true } });
  await reader.until(({ numbers }) => numbers.includes(end));
  reader.close();
  return reader.numbers.filter((n) => n !== end).sort((a, b) => a - b);
}

describe('plinth.realtime_offset()', () => {
  test('is the offset that the server writes for the same snapshot', async () => {
    const commit = await opened(1);
    // Now the open one lies below the end of every snapshot.
    await inA((tx) => put(tx, 2));
    const { sql, snapshot } = await inA(
      async (tx) => {
        const [row] = await tx.query<{ sql: string; snapshot: string }>('select plinth.realtime_offset() as sql, pg_current_snapshot()::text as snapshot');
        return row as { sql: string; snapshot: string };
      },
      { readOnly: true },
    );
    const page = await server.call('/api/v1/me', { key: server.keyA, headers: { 'plinth-offset': '?1' } });
    const [own, served] = [readOffset(sql), readOffset(page.headers.get('plinth-offset') ?? '')];
    expect(own?.window).toEqual({ s1: snapshot, last: '0' });
    expect(snapshot.split(':')[2], 'a transaction was open').not.toBe('');
    expect(own).toMatchObject({ epoch: served?.epoch, timeline: served?.timeline });
    await commit();
  });

  test.each([0, 1, 127, 128, 300, 16_383, 16_384, 4_294_967_296, 9_007_199_254_740_991])('writes %i as the server does', async (value) => {
    const { rows } = await server.database.admin.query<{ bytes: Buffer }>('select plinth_events.varint($1) as bytes', [value]);
    let [read, shift] = [0n, 0n];
    for (const byte of rows[0]?.bytes ?? []) {
      read |= BigInt(byte & 127) << shift;
      shift += 7n;
    }
    expect(read).toBe(BigInt(value));
    expect([...(rows[0]?.bytes ?? [])].map((byte) => byte >> 7)).toEqual([...Array.from({ length: Number(shift / 7n) - 1 }, () => 1), 0]);
  });

  test('a transaction that was open when the page was read is told, one that had committed is in the page', async () => {
    const commitLate = await opened(1);
    await inA((tx) => put(tx, 2));
    const page = await inA(async (tx) => ({ offset: await realtimeOffset(tx), rows: await rowsOf(tx) }), { readOnly: true });
    await commitLate();
    expect(page.rows).toEqual([2]);
    expect(await toldFrom(page.offset, 100)).toEqual([1]);
  });

  test('read committed: what commits between offset and rows is in both; taken after the rows, it is in neither', async () => {
    const before = await inA(async (tx) => {
      const offset = await realtimeOffset(tx);
      await inA((other) => put(other, 3));
      return { offset, rows: await rowsOf(tx) };
    });
    expect(before.rows).toEqual([3]);
    expect(await toldFrom(before.offset, 101)).toEqual([3]);
    const after = await inA(async (tx) => {
      const rows = await rowsOf(tx);
      await inA((other) => put(other, 4));
      return { rows, offset: await realtimeOffset(tx) };
    });
    expect(after.rows).not.toContain(4);
    expect(await toldFrom(after.offset, 102), 'why the order matters').toEqual([]);
  });

  test('in one statement with the rows it is of their snapshot, also when it is called late', async () => {
    const holder: PoolClient = await server.database.admin.connect();
    await holder.query('select pg_advisory_lock(4711)');
    const loading = inA((tx) =>
      tx.query<{ offset: string; rows: number[] | null }>(
        `with late as materialized (select pg_advisory_xact_lock_shared(4711)) select plinth.realtime_offset() as "offset", (select array_agg(n) from public.parcels) as rows from late`,
      ),
    );
    await expect
      .poll(async () => (await server.database.admin.query(`select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`)).rowCount, {
        timeout: 20_000,
      })
      .toBe(1);
    await inA((tx) => put(tx, 5));
    await holder.query('select pg_advisory_unlock(4711)');
    holder.release();
    const [page] = await loading;
    expect(page?.rows).toBeNull();
    expect(await toldFrom(page?.offset ?? '', 103)).toEqual([5]);
  });

  test('repeatable read: anywhere in the transaction, and nothing is in both', async () => {
    await inA((tx) => put(tx, 6));
    const page = await inA(
      async (tx) => {
        const rows = await rowsOf(tx);
        await inA((other) => put(other, 7));
        return { rows, offset: await realtimeOffset(tx) };
      },
      { isolation: 'repeatable read' },
    );
    expect(page.rows).toEqual([6]);
    expect(await toldFrom(page.offset, 104)).toEqual([7]);
  });

  test('what the transaction writes itself is told, before and after the offset, also behind later transactions', async () => {
    const page = await inA(async (tx) => {
      await put(tx, 8);
      // Later ids than its own have ended: now a snapshot would count it as seen.
      await inA((other) => put(other, 9));
      const offset = await realtimeOffset(tx);
      const rows = await rowsOf(tx);
      await put(tx, 10);
      return { offset, rows };
    });
    expect(page.rows).toEqual([8, 9]);
    expect(await toldFrom(page.offset, 105)).toEqual([8, 10]);
  });

  test('another tenant is told nothing from it', async () => {
    const { offset } = await inA(async (tx) => ({ offset: await realtimeOffset(tx) }));
    await inA((tx) => put(tx, 11));
    await server.database.plinth.transaction({ tenantId: server.database.tenantB }, async (tx) => void tx.events.publish('parcel.put', { n: 12 }));
    const reader = await http.listen({ key: server.keyB, topics: ['events/parcel.*'], offset });
    await reader.until(({ numbers }) => numbers.length > 0);
    expect(reader.numbers).toEqual([12]);
    reader.close();
  });
});

test('whatever commits late and in whatever order: page and told together hold everything', async () => {
  const seed = drawnSeed();
  const random = seeded(seed);
  const pages: { offset: string; rows: number[] }[] = [];
  const waiting: (() => Promise<void>)[] = [];
  let next = 1_000;
  const commitOne = async (): Promise<void> => waiting.splice(Math.floor(random() * waiting.length), 1)[0]?.();
  for (let step = 0; step < 120; step++) {
    const dice = random();
    // No more than the pool has room for.
    if (dice < 0.4 && waiting.length < 4) waiting.push(await opened(next++));
    else if (dice < 0.6) await commitOne();
    else if (dice < 0.8) await inA((tx) => put(tx, next++));
    else {
      const meanwhile = random() < 0.5 ? next++ : undefined;
      pages.push(
        await inA(async (tx) => {
          const offset = await realtimeOffset(tx);
          if (meanwhile !== undefined) await inA((other) => put(other, meanwhile));
          return { offset, rows: await rowsOf(tx) };
        }),
      );
    }
  }
  while (waiting.length > 0) await commitOne();
  const all = await inA(rowsOf);
  expect(pages.length, `seed ${seed}`).toBeGreaterThan(5);
  for (const [index, page] of pages.entries()) {
    const told = await toldFrom(page.offset, 10_000 + index);
    const known = new Set([...page.rows, ...told]);
    expect(
      all.filter((n) => !known.has(n)),
      `seed ${seed}, page ${index}`,
    ).toEqual([]);
  }
});

test('the client tells the offset of its queries, one for a batch: that of the first look', async () => {
  const offsets: string[] = [];
  const client = createPlinthClient({
    url: 'http://plinth.test/api/trpc',
    token: server.keyA,
    onOffset: (offset) => offsets.push(offset),
    fetch: (input, init) => server.handler(new Request(input, init)),
  });
  const lists = Array.from({ length: 8 }, () => client.system.access.me.query());
  const writing = Array.from({ length: 8 }, (_, nth) => inA((tx) => put(tx, 20_000 + nth)));
  await Promise.all([...lists, ...writing]);
  expect(offsets).toHaveLength(1);
  expect(readOffset(offsets[0] ?? '')).toBeDefined();
  await client.system.jobs.enqueue.mutate({ kind: 'order.receipt' });
  expect(offsets, 'a change brings none').toHaveLength(1);
});
