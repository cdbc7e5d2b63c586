/** The kernel's feed cursor on the event log: what a consumer gets, when, and what holds it up. The long run is bench/feed-torture.ts. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import { checkpoint, feedOf, peek, readBatch } from '#kernel/feed-read.ts';
import { lookIn } from '#kernel/look.ts';
import { defineProjection, projectionConsumer } from '#kernel/projection.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { Consumer, FeedEvent } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { asIfPlinth, explaining } from './explaining.fixture.ts';
import { readLivePage, readLogState, readTenantPage } from './live.ts';
import { defineUpcasters } from './upcast.ts';

const FEED = 'plinth_events.events';
let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;
let seen: FeedEvent[] = [];
let open: pg.Client[] = [];
const collect: Consumer = { summary: 'collects', from: 'now', handle: async (_tx, events) => void seen.push(...events) };

beforeAll(async () => {
  database = await testDatabase('feed');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(() => {
  seen = [];
});
afterEach(async () => {
  await Promise.all(open.map((client) => client.end()));
  open = [];
  const { rows } = await database.admin.query<{ gid: string }>('select gid from pg_prepared_xacts where database = current_database()');
  for (const { gid } of rows) await database.admin.query(`rollback prepared '${gid}'`);
  await database.admin.query('delete from plinth_kernel.feed_cursors where consumer like $1', ['test.%']);
});

/** A transaction that the test holds open. */
async function held(tenantId: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.serverUrl });
  open.push(client);
  await client.connect();
  await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'; select pg_current_xact_id()`);
  return client;
}
const append = (client: pg.Client, note: string, stream = 's') =>
  client.query(`select plinth.append_event($1, 'feed', 'feed.tested', jsonb_build_object('note', $2::text))`, [stream, note]);
const publish = (tenantId: string, note: string, stream?: string): Promise<string> =>
  plinth.transaction({ tenantId }, async (tx) =>
    tx.events.publish('feed.tested', { note }, stream === undefined ? {} : { stream: { type: 'feed', id: stream } }),
  );
const drain = async (name: string, consumer: Consumer = collect): Promise<string[]> => {
  while ((await consumeOnce(plinth, name, consumer)) > 0);
  return seen.map((event) => String(event.data.note));
};

describe('a consumer', () => {
  test('that starts from now gets what commits later, of every tenant, once', async () => {
    await publish(a, 'before');
    await drain('test.now');
    await publish(a, 'one');
    await publish(b, 'two');
    expect((await drain('test.now')).sort()).toEqual(['one', 'two']);
    expect(new Set(seen.map((event) => event.tenantId))).toEqual(new Set([a, b]));
    expect(await drain('test.now')).toHaveLength(2);
  });

  test('that starts from the beginning gets everything that is kept', async () => {
    await publish(a, 'old');
    expect(await drain('test.all', { ...collect, from: 'beginning' })).toContain('old');
  });

  test('gets events with stream, position, correlation and cause', async () => {
    await drain('test.fields');
    const id = await plinth.transaction(
      { tenantId: a, correlationId: '018f0000-0000-7000-8000-0000000000c1', causationId: '018f0000-0000-7000-8000-0000000000c2' },
      async (tx) => tx.events.publish('feed.tested', { note: 'x' }, { stream: { type: 'order', id: '7' } }),
    );
    await drain('test.fields');
    expect(seen).toEqual([
      {
        id,
        tenantId: a,
        type: 'feed.tested',
        schemaVersion: 1,
        streamId: 'order:7',
        data: { note: 'x' },
        correlationId: '018f0000-0000-7000-8000-0000000000c1',
        causationId: '018f0000-0000-7000-8000-0000000000c2',
        position: expect.stringMatching(/^\d+$/),
        createdAt: expect.any(Date),
      },
    ]);
  });

  test('gets the version of the event type, and a projection all versions in the newest by its upcasters', async () => {
    await drain('test.versions');
    const projected: FeedEvent[] = [];
    const projection = projectionConsumer(
      'test.projected',
      defineProjection({
        summary: 'cents',
        revision: 1,
        tables: { totals: 'shop.totals' },
        upcasters: defineUpcasters({ 'account.moved': { 1: ({ amount, ...rest }) => ({ ...rest, cents: Number(amount) * 100 }) } }),
        handle: async (_tx, events) => void projected.push(...events),
      }),
    );
    await drain('test.projected', { ...projection, from: 'now' });
    for (const data of [{ amount: 5 }, { cents: 700 }])
      await plinth.transaction({ tenantId: a }, async (tx) => {
        const schema = { type: 'object', required: Object.keys(data) };
        await tx.query(`select plinth.define_event_type('account.moved', $1, 'reject', p_compatibility := 'none')`, [JSON.stringify(schema)]);
        await tx.query(`select plinth.publish_event('account.moved', $1)`, [JSON.stringify(data)]);
      });
    await drain('test.versions');
    await drain('test.projected', { ...projection, from: 'now' });
    const shown = (events: readonly FeedEvent[]) => events.map(({ schemaVersion, data }) => ({ schemaVersion, data }));
    expect(shown(seen)).toEqual([
      { schemaVersion: 1, data: { amount: 5 } },
      { schemaVersion: 2, data: { cents: 700 } },
    ]);
    expect(shown(projected)).toEqual([
      { schemaVersion: 2, data: { cents: 500 } },
      { schemaVersion: 2, data: { cents: 700 } },
    ]);
  });

  test('does not wait for a transaction that is open, and gets its events when they commit', async () => {
    await drain('test.open');
    const long = await held(a);
    await append(long, 'long');
    await publish(a, 'quick');
    expect(await drain('test.open')).toEqual(['quick']);
    await publish(a, 'quicker');
    expect(await drain('test.open')).toEqual(['quick', 'quicker']);
    await long.query('commit');
    expect(await drain('test.open')).toEqual(['quick', 'quicker', 'long']);
    expect(await drain('test.open')).toHaveLength(3);
  });

  test('gets a stream in the order of its versions, even when the later version has the older transaction id', async () => {
    await drain('test.order');
    const older = await held(a);
    await publish(a, 'first', 'inverted');
    await append(older, 'second', 'inverted');
    await older.query('commit');
    expect(await drain('test.order')).toEqual(['first', 'second']);
  });

  test('gets appends of several events and streams once and in the order of each stream, however late they commit', async () => {
    await drain('test.appends');
    const late = await held(a);
    const batch = (stream: string, ...notes: string[]) => ({
      aggregate_type: 'feed',
      aggregate_id: stream,
      events: notes.map((note) => ({ event_type: 'feed.tested', payload: { note } })),
    });
    const both = (n: number) => [batch('late-left', `left ${n}`, `left ${n}+`), batch('late-right', `right ${n}`)];
    await late.query('select plinth.append_to_streams($1)', [JSON.stringify(both(1))]);
    await plinth.transaction({ tenantId: a }, async (tx) => {
      tx.events.append({ type: 'feed', id: 'other' }, [
        { type: 'feed.tested', data: { note: 'other 1' } },
        { type: 'feed.tested', data: { note: 'other 2' } },
      ]);
      tx.events.expect({ type: 'feed', id: 'never' }, 'none');
    });
    // Waits for the heads that the open transaction holds.
    const next = plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.append_to_streams($1)', [JSON.stringify(both(2))]));
    expect(await drain('test.appends')).toEqual(['other 1', 'other 2']);
    await late.query('select plinth.append_to_streams($1)', [JSON.stringify([batch('late-right', 'right 1+')])]);
    await late.query('commit');
    await next;
    const notes = await drain('test.appends');
    expect(notes.filter((note) => note.startsWith('left'))).toEqual(['left 1', 'left 1+', 'left 2', 'left 2+']);
    expect(notes.filter((note) => note.startsWith('right'))).toEqual(['right 1', 'right 1+', 'right 2']);
    expect(notes).toHaveLength(9);
  });

  test('never gets what was rolled back, to a savepoint or whole, and gets a prepared transaction when it commits', async () => {
    await drain('test.rolled');
    const client = await held(a);
    await client.query('savepoint one');
    await append(client, 'undone');
    await client.query('rollback to savepoint one');
    await client.query('savepoint two');
    await append(client, 'kept');
    await client.query(`prepare transaction 'feed test'`);
    await publish(a, 'meanwhile');
    expect(await drain('test.rolled')).toEqual(['meanwhile']);
    await client.query('set role plinth_app');
    await client.query(`commit prepared 'feed test'`);
    expect(await drain('test.rolled')).toEqual(['meanwhile', 'kept']);
  });

  test('goes through a backlog in batches, in order, without repeating any', async () => {
    await drain('test.backlog');
    await plinth.transaction({ tenantId: a }, async (tx) => {
      for (let n = 0; n < 95; n++) tx.events.publish('feed.tested', { note: String(n) });
    });
    const sizes: number[] = [];
    const measure = async (_tx: AnyTransaction, events: readonly FeedEvent[]): Promise<void> => {
      sizes.push(events.length);
      seen.push(...events);
    };
    const notes = await drain('test.backlog', { ...collect, batchSize: 10, handle: measure });
    expect(notes).toEqual(Array.from({ length: 95 }, (_, n) => String(n)));
    expect(sizes).toEqual([10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
  });

  test('is a group: what one process holds another does not get, and what it drops is read again', async () => {
    await drain('test.group');
    await publish(a, 'shared');
    const feed = feedOf(plinth.modules);
    await expect(
      plinth.asWorker({}, async (tx) => {
        expect((await readBatch(tx, feed, { consumer: 'test.group' })).events).toHaveLength(1);
        expect(await consumeOnce(plinth, 'test.group', collect)).toBe(0);
        throw new Error('died');
      }),
    ).rejects.toThrow('died');
    expect(await drain('test.group')).toEqual(['shared']);
  });
});

describe('a handler that fails', () => {
  test('rolls its batch back, and lets the events before the bad one and those of other shards pass', async () => {
    await drain('test.fails');
    for (const note of ['good', 'bad', 'behind']) await publish(a, note);
    const { rows: others } = await database.admin.query<{ id: string }>(
      'select o.id from (select plinth_kernel.uuid_v7() as id from generate_series(1, 100)) as o where plinth_kernel.shard_of(o.id) <> plinth_kernel.shard_of($1) limit 1',
      [a],
    );
    await publish(others[0]?.id ?? b, 'elsewhere');
    const fussy: Consumer = {
      ...collect,
      handle: async (_tx, events) => {
        if (events.some((event) => event.data.note === 'bad')) throw new Error('bad event');
        seen.push(...events);
      },
    };
    for (let n = 0; n < 6; n++) await consumeOnce(plinth, 'test.fails', fussy).catch((error: Error) => expect(error.message).toBe('bad event'));
    expect(seen.map((event) => event.data.note).sort()).toEqual(['elsewhere', 'good']);
    const of = async () =>
      (
        await database.admin.query(
          `select status, waiting::int, failures, last_error, retry_at > now() as waits from plinth.consumers where consumer = 'test.fails'`,
        )
      ).rows;
    expect(await of()).toEqual([{ status: 'failing', waiting: 2, failures: 2, last_error: 'bad event', waits: true }]);
    await database.admin.query('update plinth_events.parked set retry_at = null');
    expect(await consumeParked(plinth, 'test.fails', collect)).toBe(2);
    expect(await of()).toEqual([{ status: 'current', waiting: 0, failures: 0, last_error: null, waits: null }]);
    expect(await drain('test.fails')).toEqual(expect.arrayContaining(['elsewhere', 'good', 'bad', 'behind']));
    expect(seen.map((event) => event.data.note).filter((note) => note !== 'elsewhere')).toEqual(['good', 'bad', 'behind']);
  });
});

describe('a handler that fails once', () => {
  test('gets the events of that batch one by one, and whole batches behind it', async () => {
    await drain('test.hiccup');
    await plinth.transaction({ tenantId: a }, async (tx) => {
      for (let n = 0; n < 35; n++) tx.events.publish('feed.tested', { note: String(n) });
    });
    const sizes: number[] = [];
    let thrown = false;
    const hiccup: Consumer = {
      ...collect,
      batchSize: 10,
      handle: async (_tx, events) => {
        if (sizes.length === 1 && !thrown) {
          thrown = true;
          throw new Error('for a moment');
        }
        sizes.push(events.length);
        seen.push(...events);
      },
    };
    await consumeOnce(plinth, 'test.hiccup', hiccup);
    await expect(consumeOnce(plinth, 'test.hiccup', hiccup)).rejects.toThrow('for a moment');
    const notes = await drain('test.hiccup', hiccup);
    expect(notes).toEqual(Array.from({ length: 35 }, (_, n) => String(n)));
    expect(sizes).toEqual([10, ...Array.from({ length: 10 }, () => 1), 10, 5]);
    const { rows } = await database.admin.query(`select from plinth_kernel.feed_status($1, 'test.hiccup') where failures > 0 or failing_since is not null`, [
      FEED,
    ]);
    expect(rows).toEqual([]);
  });
});

describe('an event that nobody can handle', () => {
  test('can be passed over, and only it', async () => {
    await drain('test.skip');
    for (const note of ['good', 'bad', 'behind']) await publish(a, note);
    const fussy: Consumer = {
      ...collect,
      onPoison: 'stop',
      handle: async (_tx, events) => {
        if (events.some((event) => event.data.note === 'bad')) throw new Error('bad event');
        seen.push(...events);
      },
    };
    for (let n = 0; n < 4; n++) await consumeOnce(plinth, 'test.skip', fussy).catch((error: Error) => expect(error.message).toBe('bad event'));
    const skip = () =>
      plinth.asWorker({}, (tx) =>
        tx.query<{ position: string | null }>('select plinth_kernel.feed_skip($1, $2, plinth_kernel.shard_of($3)) as position', [FEED, 'test.skip', a]),
      );
    expect(await skip()).toMatchObject([{ position: expect.stringMatching(/^\d+$/) }]);
    expect(await drain('test.skip', fussy)).toEqual(['good', 'behind']);
    expect(await skip()).toEqual([{ position: null }]);
  });
});

describe('the log', () => {
  test('shows an event as pending until every consumer has handled it', async () => {
    const status = async (id: string) =>
      (await plinth.transaction({ tenantId: a }, (tx) => tx.query<{ status: string }>('select status from plinth.events where id = $1', [id]))).map(
        (row) => row.status,
      );
    // Consumers of the cards would keep it pending: nobody runs them here.
    await database.admin.query(`delete from plinth_kernel.feed_cursors`);
    await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start($1, 'test.status', 'now')`, [FEED]));
    const id = await publish(a, 'watched');
    expect(await status(id)).toEqual(['pending']);
    await drain('test.status');
    expect(await status(id)).toEqual(['completed']);
  });

  test('is held back for a consumer that has not read it, until it has or is forgotten', async () => {
    const holds = async () =>
      (await database.admin.query<{ consumer: string }>('select distinct consumer from plinth_kernel.feed_holds($1)', [FEED])).rows
        .map((row) => row.consumer)
        .filter((name) => name.startsWith('test.'));
    await drain('test.holds');
    expect(await holds()).toEqual([]);
    await publish(a, 'unread');
    expect(await holds()).toEqual(['test.holds']);
    await drain('test.holds');
    expect(await holds()).toEqual([]);
    await publish(a, 'unread');
    expect((await database.admin.query('select plinth_kernel.feed_stop($1, $2) as cursors', [FEED, 'test.holds'])).rows).toEqual([{ cursors: 8 }]);
    expect(await holds()).toEqual([]);
  });

  test('that was copied into another cluster by pg_upgrade keeps its epoch, also a second time, and while others write', async () => {
    const others = await held(b);
    await append(others, 'open meanwhile');
    await publish(a, 'read before the upgrade');
    await drain('test.upgraded', { ...collect, from: 'beginning' });
    const epoch = () =>
      database.admin.query<{ epoch: number; moved: boolean }>(
        'select epoch, system_identifier = 42 as moved from plinth_kernel.feed_epochs where feed = $1 order by epoch desc limit 1',
        [FEED],
      );
    const before = (await epoch()).rows;
    seen = [];
    for (let upgrades = 0; upgrades < 2; upgrades++) {
      // As after pg_upgrade: another cluster, and every row as it was written.
      await database.admin.query(`update plinth_kernel.feed_epochs set system_identifier = 42, written_by = pg_current_xact_id()::xid where feed = $1`, [FEED]);
      await publish(a, `unread ${upgrades}`);
      await plinth.asWorker({}, async (tx) => {
        await tx.query('savepoint before');
        expect(await tx.query('select plinth_kernel.feed_epoch($1) as epoch', [FEED])).toMatchObject([{ epoch: before[0]?.epoch }]);
      });
      expect((await epoch()).rows).toEqual(before);
      // What the next upgrade goes by.
      expect(
        (await database.admin.query('select xmin = written_by as kept from plinth_kernel.feed_epochs where feed = $1 order by epoch desc limit 1', [FEED]))
          .rows,
      ).toEqual([{ kept: true }]);
    }
    expect(await drain('test.upgraded')).toEqual(['unread 0', 'unread 1']);
  });

  test('that was restored into another cluster is read on without loss or repetition', async () => {
    await drain('test.restored');
    await publish(a, 'read before the dump');
    await drain('test.restored');
    await publish(a, 'unread at the dump');
    // As after a restore: the rows' transaction ids are of another cluster, far ahead of this one's, and so is the cursor.
    await database.admin.query(`alter table plinth_events.events disable trigger append_only`);
    const shift = '1000000000000';
    await database.admin.query(`update plinth_events.events set xact = (xact::text::numeric + ${shift})::text::xid8`);
    await database.admin.query(`update plinth_kernel.feed_cursors set s1 = (select string_agg(case when part ~ '^[0-9]+$' then (part::numeric + ${shift})::text else part end, '' order by nth)
      from regexp_split_to_table(regexp_replace(s1::text, '([:,])', ' \\1 ', 'g'), ' ') with ordinality as p (part, nth))::pg_snapshot where consumer = 'test.restored'`);
    await database.admin.query(`alter table plinth_events.events enable trigger append_only`);
    await database.admin.query('delete from plinth_kernel.feed_epochs');
    // By accident it even has the xmin that it had: upgrade.test.ts has the common case.
    await database.admin.query(
      `insert into plinth_kernel.feed_epochs (feed, epoch, after_position, system_identifier, written_by) values ($1, 1, 0, 42, pg_current_xact_id()::xid)`,
      [FEED],
    );
    await publish(a, 'written before the first reader came');
    expect((await database.admin.query('select plinth_kernel.feed_epoch($1) as epoch', [FEED])).rows).toEqual([{ epoch: 2 }]);
    await publish(a, 'written after');
    for (let n = 0; n < 4; n++) await drain('test.restored');
    expect(seen.map((event) => event.data.note)).toEqual([
      'read before the dump',
      'unread at the dump',
      'written before the first reader came',
      'written after',
    ]);
    expect((await database.admin.query(`select distinct epoch from plinth_kernel.feed_cursors where consumer = 'test.restored'`)).rows).toEqual([{ epoch: 2 }]);
  });

  test('refuses a start and an isolation level under which it would lose events', async () => {
    await expect(plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start($1, 'test.x', 'tomorrow')`, [FEED]))).rejects.toMatchObject({
      code: 'kernel_invalid_input',
    });
    await expect(
      plinth.asWorker({ isolation: 'repeatable read' }, (tx) => readBatch(tx, feedOf(plinth.modules), { consumer: 'test.x' })),
    ).rejects.toMatchObject({ code: 'kernel_internal' });
  });

  test.each(['before the table was analyzed', 'after'])('is read through its index, however much lies before the cursor, %s', async (when) => {
    const name = `test.plan.${when === 'after' ? 1 : 0}`;
    await drain(name);
    // Its id stands in every snapshot, and nothing has it.
    const old = await held(b);
    await database.admin.query(
      `insert into plinth_events.events (tenant_id, shard, type, payload) select $1, plinth_kernel.shard_of($1), 'feed.bulk', '{}' from generate_series(1, 20000)`,
      [a],
    );
    await drain(name);
    if (when === 'after') await database.admin.query('analyze plinth_events.events');
    await publish(a, 'needle');
    const plan = await plinth.asWorker({}, async (tx) => {
      const lines: string[] = [];
      const spy = explaining(tx, lines);
      const feed = feedOf(plinth.modules);
      expect(await lookIn(spy, peek(feed, name))).toHaveLength(1);
      const batch = await readBatch(spy, feed, { consumer: name });
      await checkpoint(spy, feed, name, batch);
      expect(batch.events.map((event) => event.data.note)).toEqual(['needle']);
      expect(await lookIn(spy, peek(feed, name))).toEqual([]);
      const { snapshot, above } = await readLogState(tx);
      expect((await readLivePage(asIfPlinth(spy), { s1: snapshot, last: '0' }, above, 10)).events).toEqual([]);
      return lines.join('\n');
    });
    await old.query('rollback');
    expect(plan).toMatch(/shard_xact_position|events.*_shard_.*idx/);
    // Partitions without a row are scanned whole: nothing is cheaper.
    expect(plan).not.toMatch(/Seq Scan on .*actual rows=[1-9]/);
    // A few rows of another epoch are behind every cursor.
    expect(plan).not.toMatch(/Rows Removed by Filter: \d{4,}/);
  });

  test('is told page by page, and no page costs the rest of what one transaction has written', async () => {
    const { snapshot, above } = await plinth.asWorker({}, readLogState);
    await database.admin.query(
      `insert into plinth_events.events (tenant_id, shard, type, payload) select $1, plinth_kernel.shard_of($1), 'feed.bulk', jsonb_build_object('n', g) from generate_series(1, 20000) as g`,
      [b],
    );
    await publish(a, 'of another tenant');
    const pagesOf = async (tx: AnyTransaction, read: typeof readTenantPage): Promise<{ numbers: number[]; plans: string[] }> => {
      const plans: string[] = [];
      const spy = {
        ...tx,
        query: async <Row>(text: string, values?: readonly unknown[]): Promise<Row[]> => {
          if (text.startsWith('set local')) return tx.query<Row>(text, values);
          const plan = await tx.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off, summary off) ${text}`, values);
          plans.push(plan.map((row) => row['QUERY PLAN']).join('\n'));
          return tx.query<Row>(text, values);
        },
      };
      const first = await read(tx, { s1: snapshot, s2: (await readLogState(tx)).snapshot, last: '0' }, above, 500);
      const next = await read(spy, { s1: snapshot, s2: first.s2, last: first.events.at(-1)?.position ?? '' }, above, 500);
      const rest = await read(spy, { s1: snapshot, s2: first.s2, last: String(Number(next.events.at(-1)?.position) + 18_990) }, above, 500);
      return { numbers: [...first.events, ...next.events, ...rest.events].map(({ payload }) => Number((JSON.parse(payload) as { n?: number }).n)), plans };
    };
    const [inOrder, last] = [Array.from({ length: 1_000 }, (_, n) => n + 1), Array.from({ length: 10 }, (_, n) => 19_991 + n)];
    const all = await plinth.asWorker({}, (tx) => pagesOf(tx, (spy, ...rest) => readLivePage(asIfPlinth(spy), ...rest)));
    expect(all.numbers).toEqual([...inOrder, ...last, Number.NaN]);
    const own = await plinth.asWorker({ tenantId: b }, (tx) => pagesOf(tx, readTenantPage));
    expect(own.numbers).toEqual([...inOrder, ...last]);
    for (const plan of [...all.plans, ...own.plans]) expect(plan).not.toMatch(/(actual rows=|Removed by Filter: )\d{4,}|-> +Sort /);
  });
});
