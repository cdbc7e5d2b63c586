/** What does not ask for a consumer's turn, and may be the first to read a log that was restored from a dump. */
import { afterAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { declareProjections, projectionConsumer } from '#kernel/projection.ts';
import { rebuildProjection } from '#kernel/projection-rebuild.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { SHOP, shopOf, totalsOf } from './projections.fixture.ts';

const FEED = 'plinth_events.events';
const database = await testDatabase('projections restored');
const { admin, plinth, tenantA, tenantB } = database;
const live = totalsOf(1);
const old = shopOf(database.serverUrl, live);
const fresh = shopOf(database.serverUrl, totalsOf(2, 10));
afterAll(async () => {
  await Promise.all([old.close(), fresh.close()]);
  await database.drop();
});

/** As restored into another cluster: the ids of transactions are those of the old one, far ahead. */
const restore = (where: TestDatabase) =>
  where.admin.query(`set session_replication_role = replica;
    create function pg_temp.ahead(p text) returns pg_snapshot language sql as $$ select string_agg(case when part ~ '^[0-9]+$' then (part::numeric + 1000000000000)::text else part end, '' order by nth)::pg_snapshot
      from regexp_split_to_table(regexp_replace(p, '([:,])', ' \\1 ', 'g'), ' ') with ordinality as p (part, nth) $$;
    update ${FEED} set xact = (xact::text::numeric + 1000000000000)::text::xid8;
    update plinth_kernel.feed_cursors set s1 = case when s1::text = '1:1:' then s1 else pg_temp.ahead(s1::text) end, s2 = pg_temp.ahead(s2::text) where consumer like 'shop.%';
    delete from plinth_kernel.feed_epochs;
    insert into plinth_kernel.feed_epochs (feed, epoch, after_position, system_identifier, written_by) values ('${FEED}', 1, 0, 42, pg_current_xact_id()::xid);
    reset session_replication_role`);
const pay = (...cents: number[]) =>
  Promise.all(
    [tenantA, tenantB].map((tenantId) =>
      plinth.transaction({ tenantId }, async (tx) => cents.map((n) => tx.events.publish('order.paid', { order: tenantId, cents: n }))),
    ),
  );
const totals = async () => (await admin.query(`select order_id, cents from shop.totals order by order_id`)).rows;
const of = (cents: number) => [tenantA, tenantB].sort().map((order_id) => ({ order_id, cents: String(cents) }));

test('a rebuild goes on in a database that was restored from a dump: every event counts once, those before and those after', { timeout: 120_000 }, async () => {
  await admin.query(SHOP);
  await declareProjections(old);
  const drain = async () => {
    while ((await consumeOnce(old, 'shop.totals', projectionConsumer('shop.totals', live))) > 0);
  };
  await pay(...Array.from({ length: 300 }, () => 1));
  await drain();
  let looks = 0;
  const interrupted = rebuildProjection(fresh, 'shop.totals', {
    ownerUrl: database.url,
    parallel: 1,
    onProgress: ({ handled }) => {
      if (looks++ > 0 || handled > 0) throw new Error('interrupted');
    },
  });
  await expect(interrupted).rejects.toThrow('interrupted');
  await pay(1);
  await restore(database);
  await pay(1, 1);
  expect(await rebuildProjection(fresh, 'shop.totals', { ownerUrl: database.url })).toMatchObject({ resumed: true, swapped: true });
  expect(await totals()).toEqual(of(3030));
  await pay(1);
  const newest = totalsOf(2, 10);
  while ((await consumeOnce(fresh, 'shop.totals', projectionConsumer('shop.totals', newest))) > 0);
  expect(await totals()).toEqual(of(3040));
  expect((await admin.query(`select distinct epoch from plinth_kernel.feed_cursors where consumer = 'shop.totals'`)).rows).toEqual([{ epoch: 2 }]);
});

test('an event that is parked by hand there is the next that was not read, and none is passed over', { timeout: 60_000 }, async () => {
  await using other = await testDatabase('restored');
  const { plinth, admin, tenantA } = other;
  const handled: unknown[] = [];
  const consumer: Consumer = { summary: 'notes', handle: async (_tx, events) => void handled.push(...events.map(({ data }) => data.note)) };
  const drain = async () => {
    while ((await consumeOnce(plinth, 'shop.parks', consumer)) > 0);
  };
  const note = (text: string) => plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('order.noted', { note: text }));
  await drain();
  handled.length = 0;
  const unread = await note('unread');
  await note('unread as well');
  await restore(other);
  await note('after');
  await plinth.asWorker({}, (tx) => tx.query(`select plinth.park_next_event('shop.parks', plinth_kernel.shard_of($1), 'a test')`, [tenantA]));
  expect((await admin.query(`select event_id from plinth_events.parked where consumer = 'shop.parks'`)).rows).toEqual([{ event_id: unread }]);
  for (let n = 0; n < 3; n++) await drain();
  expect(handled).toEqual(['unread as well', 'after']);
});
